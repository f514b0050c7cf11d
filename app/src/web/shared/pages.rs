//! The parts of pages that all areas share: layout, icons, formats, error pages.
//!
//! Every page is a pure function: a handler fills a view struct and gets [`maud::Markup`] back.
//! Pages read no database, clock or request. maud escapes all text. Pages contain no inline scripts
//! or styles, which the Content-Security-Policy forbids.

pub mod format;
pub(in crate::web) mod icons;
pub(in crate::web) mod layout;
pub(in crate::web) mod parts;
pub mod problem;

pub use layout::{Notice, PageContext, PersonView, Section, Theme, WorkspaceLink, layout};
pub use parts::{FormContext, RoleView, SelectOption};

pub const PRODUCT: &str = "Folio";

//! What every page has around it: its head, the navigation, what was just done.

mod navigation;
mod notice;

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

pub(in crate::web) use navigation::initial;
pub use notice::Notice;

use super::PRODUCT;
use super::icons::{self, Icon};
use super::parts::Role;
use crate::ids::WorkspaceId;
use crate::web::shared::assets;

/// Light or dark, as the cookie `theme` remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    /// As the device is set.
    #[default]
    Device,
    /// Always light.
    Light,
    /// Always dark.
    Dark,
}

impl Theme {
    /// The cookie's name; the page's script sets it, the server reads it, so that no page flashes in the wrong theme.
    pub const COOKIE: &str = "theme";

    /// From the cookie's value; whatever else it says is as no cookie.
    pub fn parse(cookie: &str) -> Self {
        match cookie {
            "light" => Self::Light,
            "dark" => Self::Dark,
            _ => Self::Device,
        }
    }

    fn attribute(self) -> Option<&'static str> {
        match self {
            Self::Device => None,
            Self::Light => Some("light"),
            Self::Dark => Some("dark"),
        }
    }
}

/// Who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonView {
    /// As they are called.
    pub name: String,
    /// As their sign-in provider said it.
    pub email: Option<String>,
}

/// A workspace, as the switch between them shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceLink {
    /// Stands in its URLs.
    pub id: WorkspaceId,
    /// As its people call it.
    pub name: String,
    /// Of the person who looks.
    pub role: Role,
}

/// What a page needs besides its own content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageContext {
    /// From the cookie.
    pub theme: Theme,
    /// The session's token against forged forms.
    pub csrf: String,
    /// When the page was made: ages are told from it.
    pub now: Timestamp,
    /// Who is signed in, if anybody.
    pub user: Option<PersonView>,
    /// The workspace in the URL.
    pub workspace: Option<WorkspaceLink>,
    /// All that the person is a member of.
    pub workspaces: Vec<WorkspaceLink>,
    /// What was just done.
    pub notice: Option<Notice>,
}

impl PageContext {
    /// Viewer a page that nobody needs to be signed in for.
    pub fn anonymous(theme: Theme, csrf: String, now: Timestamp) -> Self {
        Self {
            theme,
            csrf,
            now,
            user: None,
            workspace: None,
            workspaces: Vec::new(),
            notice: None,
        }
    }
}

/// The parts of a workspace, as the navigation lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Files.
    Documents,
    /// Questions and answers.
    Chat,
    /// People.
    Members,
    /// Name, export, removal.
    Settings,
}

impl Section {
    const ALL: [Self; 4] = [Self::Documents, Self::Chat, Self::Members, Self::Settings];

    fn shown(self) -> (&'static str, &'static str, Icon) {
        match self {
            Self::Documents => ("documents", "Documents", icons::DOCUMENTS),
            Self::Chat => ("chat", "Chat", icons::CHAT),
            Self::Members => ("members", "Members", icons::MEMBERS),
            Self::Settings => ("settings", "Settings", icons::SETTINGS),
        }
    }
}

/// A whole page.
pub fn layout(context: &PageContext, title: &str, body: &Markup) -> Markup {
    Layout::new(context, title).render(body)
}

/// A page and what is special about its frame.
pub(in crate::web) struct Layout<'a> {
    context: &'a PageContext,
    title: &'a str,
    section: Option<Section>,
    class: &'static str,
    reload_seconds: Option<u32>,
    scripts: &'static [&'static str],
}

impl<'a> Layout<'a> {
    pub(in crate::web) fn new(context: &'a PageContext, title: &'a str) -> Self {
        Self {
            context,
            title,
            section: None,
            class: "narrow",
            reload_seconds: None,
            scripts: &[],
        }
    }

    /// Marks where in the workspace the page is.
    pub(in crate::web) fn section(mut self, section: Section) -> Self {
        self.section = Some(section);
        self
    }

    /// How the main part is laid out.
    pub(in crate::web) fn class(mut self, class: &'static str) -> Self {
        self.class = class;
        self
    }

    /// Scripts of this page alone.
    pub(in crate::web) fn scripts(mut self, scripts: &'static [&'static str]) -> Self {
        self.scripts = scripts;
        self
    }

    /// For browsers without script: load the page again, since nothing else will move it on.
    pub(in crate::web) fn reload(mut self, seconds: u32) -> Self {
        self.reload_seconds = Some(seconds);
        self
    }

    pub(in crate::web) fn render(&self, body: &Markup) -> Markup {
        let context = self.context;
        html! {
            (DOCTYPE)
            html lang="en" data-theme=[context.theme.attribute()] {
                (self.head())
                body data-now=(context.now.as_millisecond()) hx-headers={ "{\"X-CSRF-Token\":\"" (context.csrf) "\"}" } .signed-in[context.user.is_some()] {
                    a.skip href="#main" { "Skip to content" }
                    @if context.user.is_some() { (navigation::sidebar(context, self.section)) } @else { (navigation::bar(context)) }
                    main #main .(self.class) tabindex="-1" {
                        div #problems {}
                        @if let Some(notice) = context.notice {
                            div.toast role="status" data-toast {
                                (icons::CHECK)
                                p { (notice.words()) }
                            }
                        }
                        (body)
                    }
                    @if context.user.is_none() { (navigation::footer()) }
                    p #announcer .visually-hidden role="status" {}
                    p #connection .connection role="status" hidden {
                        (icons::CLOCK) "Connection lost. Trying again\u{2026}"
                    }
                }
            }
        }
    }

    fn head(&self) -> Markup {
        html! {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover";
                meta name="color-scheme" content=(match self.context.theme {
                    Theme::Device => "light dark",
                    Theme::Light => "light",
                    Theme::Dark => "dark",
                });
                title { (self.title) " \u{b7} " (PRODUCT) }
                meta name="description" content="Ask your documents. Every answer names the page it comes from.";
                meta name="referrer" content="same-origin";
                meta name="htmx-config" content=(HTMX_CONFIG);
                link rel="icon" type="image/svg+xml" href=(assets::FAVICON_SVG);
                link rel="stylesheet" href=(assets::APP_CSS);
                script src=(assets::HTMX_JS) defer {}
                script src=(assets::SSE_JS) defer {}
                script src=(assets::APP_JS) defer {}
                @for script in self.scripts { script src=(script) defer {} }
                @if let Some(seconds) = self.reload_seconds {
                    noscript { meta http-equiv="refresh" content=(seconds); }
                }
            }
        }
    }
}

/// No styles and no scripts made at run time (the Content-Security-Policy forbids them), no pages kept in the browser's storage (they are
/// private), requests to this origin alone; what goes wrong is shown at the top of the page.
const HTMX_CONFIG: &str = concat!(
    r#"{"includeIndicatorStyles":false,"allowEval":false,"allowScriptTags":false,"selfRequestsOnly":true,"historyEnabled":true,"#,
    r#""historyCacheSize":0,"refreshOnHistoryMiss":true,"scrollBehavior":"auto","timeout":30000,"responseHandling":["#,
    r##"{"code":"204","swap":false},{"code":"[23]..","swap":true},{"code":"[45]..","swap":true,"error":true,"target":"#problems"}]}"##
);

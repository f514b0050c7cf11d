//! The layout around every page: head, navigation and notices.

mod navigation;
mod notice;

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

pub(in crate::web) use navigation::initial;
pub use notice::Notice;

use super::PRODUCT;
use super::icons::{self, Icon};
use super::parts::RoleView;
use crate::ids::WorkspaceId;
use crate::web::shared::assets;

/// The color theme, stored in the cookie `theme`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    /// Follows the device's setting.
    #[default]
    Device,
    Light,
    Dark,
}

impl Theme {
    /// Name of the cookie. It is set by script and read by the server, so that no page flashes in
    /// the wrong theme.
    pub const COOKIE: &str = "theme";

    /// Parses the cookie; any unknown value means the default.
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonView {
    pub name: String,
    /// As reported by the identity provider.
    pub email: Option<String>,
}

/// A workspace in the workspace switcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceLink {
    pub id: WorkspaceId,
    pub name: String,
    pub role: RoleView,
}

/// What every page needs besides its own content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageContext {
    pub theme: Theme,
    /// CSRF token of the session.
    pub csrf: String,
    /// The current time, for relative times.
    pub now: Timestamp,
    pub user: Option<PersonView>,
    /// The workspace of the current page.
    pub workspace: Option<WorkspaceLink>,
    /// All workspaces of the user.
    pub workspaces: Vec<WorkspaceLink>,
    pub notice: Option<Notice>,
}

impl PageContext {
    /// Context of a page for visitors who are not signed in.
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

/// Sections of a workspace in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    Documents,
    Chat,
    Members,
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

/// Renders a page with the default layout.
pub fn layout(context: &PageContext, title: &str, body: &Markup) -> Markup {
    Layout::new(context, title).render(body)
}

/// Options of a page's layout.
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

    /// Highlights the section in the navigation.
    pub(in crate::web) fn section(mut self, section: Section) -> Self {
        self.section = Some(section);
        self
    }

    /// CSS class of the main element.
    pub(in crate::web) fn class(mut self, class: &'static str) -> Self {
        self.class = class;
        self
    }

    /// Additional scripts of this page.
    pub(in crate::web) fn scripts(mut self, scripts: &'static [&'static str]) -> Self {
        self.scripts = scripts;
        self
    }

    /// Reloads the page periodically in browsers without JavaScript.
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
                                p { (notice.message()) }
                            }
                        }
                        (body)
                    }
                    @if context.user.is_none() { (navigation::footer()) }
                    p #announcer .visually-hidden role="status" {}
                    p #connection .connection role="status" hidden {
                        (icons::CLOCK) "Connection lost. Reconnecting\u{2026}"
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
                meta name="description" content=(DESCRIPTION);
                @if self.context.user.is_none() {
                    meta property="og:type" content="website";
                    meta property="og:site_name" content=(PRODUCT);
                    meta property="og:title" content=(self.title);
                    meta property="og:description" content=(DESCRIPTION);
                }
                meta name="referrer" content="same-origin";
                meta name="htmx-config" content=(HTMX_CONFIG);
                link rel="icon" href="/favicon.ico" sizes="32x32";
                link rel="icon" type="image/svg+xml" href=(assets::FAVICON_SVG);
                link rel="manifest" href="/manifest.webmanifest";
                link rel="stylesheet" href=(assets::APP_CSS);
                script src=(assets::HTMX_JS) defer {}
                script src=(assets::SSE_JS) defer {}
                script src=(assets::LIVE_JS) defer {}
                script src=(assets::APP_JS) defer {}
                @for script in self.scripts { script src=(script) defer {} }
                @if let Some(seconds) = self.reload_seconds {
                    noscript { meta http-equiv="refresh" content=(seconds); }
                }
            }
        }
    }
}

const DESCRIPTION: &str =
    "Ask your documents. Every answer links to the pages it\u{2019}s based on.";

/// htmx must not generate styles or scripts or copy `style` attributes, which the
/// Content-Security-Policy forbids, or store pages, which are private, in the browser. Requests go
/// to this origin only. Error responses are shown in `#problems`.
const HTMX_CONFIG: &str = concat!(
    r#"{"includeIndicatorStyles":false,"allowEval":false,"allowScriptTags":false,"selfRequestsOnly":true,"historyEnabled":true,"#,
    r#""historyCacheSize":0,"refreshOnHistoryMiss":true,"scrollBehavior":"auto","timeout":30000,"#,
    r#""attributesToSettle":["class","width","height"],"responseHandling":["#,
    r##"{"code":"204","swap":false},{"code":"[23]..","swap":true},{"code":"[45]..","swap":true,"error":true,"target":"#problems"}]}"##
);

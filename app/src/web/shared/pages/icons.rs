//! Line icons on a 24 by 24 grid, in the color of the surrounding text. They are hidden from screen
//! readers, because the text beside them says the same.

use maud::{Markup, PreEscaped, html};

/// The content of an `<svg>` element.
#[derive(Debug, Clone, Copy)]
pub(in crate::web) struct Icon(&'static str);

impl maud::Render for Icon {
    fn render(&self) -> Markup {
        html! {
            svg.icon viewBox="0 0 24 24" width="20" height="20" fill="none" stroke="currentColor" stroke-width="1.75"
                stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false" { (PreEscaped(self.0)) }
        }
    }
}

macro_rules! icons {
    ($($name:ident = $path:literal;)*) => {
        $(pub(in crate::web) const $name: Icon = Icon($path);)*
    };
}

icons! {
    LOGO = r#"<path d="M6 3.5h8.5L19 8v12.5H6z" fill="currentColor" stroke="none" opacity=".28"/><path d="M5 3h8.5L18 7.5V17M5 3v18h13"/><path d="M9 9.5h4M9 13h5.5"/>"#;
    DOCUMENTS = r#"<path d="M7 3h7l5 5v13H7z"/><path d="M14 3v5h5"/><path d="M10 13h6M10 17h6"/>"#;
    CHAT = r#"<path d="M4 5h16v11H11l-4.5 4v-4H4z"/><path d="M8 9.5h8M8 12.5h5"/>"#;
    MEMBERS = r#"<circle cx="9" cy="8.5" r="3.5"/><path d="M2.5 20c.6-3.6 3.2-5.5 6.5-5.5s5.9 1.9 6.5 5.5"/><path d="M16 5.3a3.5 3.5 0 0 1 0 6.4M18 14.9c2 .8 3.2 2.5 3.6 5.1"/>"#;
    SETTINGS = r#"<path d="M4 7h9M17 7h3M4 17h3M11 17h9"/><circle cx="15" cy="7" r="2"/><circle cx="9" cy="17" r="2"/>"#;
    UPLOAD = r#"<path d="M12 16V4.5M7 9l5-5 5 5"/><path d="M4 15v5h16v-5"/>"#;
    DOWNLOAD = r#"<path d="M12 4v11.5M7 11l5 5 5-5"/><path d="M4 20h16"/>"#;
    SEARCH = r#"<circle cx="11" cy="11" r="6.5"/><path d="m16 16 4.5 4.5"/>"#;
    MORE = r#"<circle cx="5.5" cy="12" r="1.2" fill="currentColor"/><circle cx="12" cy="12" r="1.2" fill="currentColor"/><circle cx="18.5" cy="12" r="1.2" fill="currentColor"/>"#;
    CHECK = r#"<path d="m5 12.5 4.5 4.5L19 7.5"/>"#;
    CROSS = r#"<path d="m6 6 12 12M18 6 6 18"/>"#;
    WARNING = r#"<path d="M12 4 2.8 20h18.4z"/><path d="M12 10v4.5M12 17.4v.1"/>"#;
    CLOCK = r#"<circle cx="12" cy="12" r="8.5"/><path d="M12 7.5V12l3 2"/>"#;
    DATABASE = r#"<ellipse cx="12" cy="6" rx="7.5" ry="3"/><path d="M4.5 6v12c0 1.7 3.4 3 7.5 3s7.5-1.3 7.5-3V6"/><path d="M4.5 12c0 1.7 3.4 3 7.5 3s7.5-1.3 7.5-3"/>"#;
    LOCK = r#"<path d="M5.5 11h13v9.5h-13z"/><path d="M8.5 11V7.5a3.5 3.5 0 0 1 7 0V11"/>"#;
    QUOTE = r#"<path d="M10 7H5v6h5zM10 13c0 2.5-1.5 4-4 4.5M19 7h-5v6h5zM19 13c0 2.5-1.5 4-4 4.5"/>"#;
    SEND = r#"<path d="M12 20V5M6 11l6-6 6 6"/>"#;
    STOP = r#"<path d="M7 7h10v10H7z" fill="currentColor"/>"#;
    MINUS = r#"<path d="M5 12h14"/>"#;
    UP = r#"<path d="m6 14.5 6-6 6 6"/>"#;
    DOWN = r#"<path d="m6 9.5 6 6 6-6"/>"#;
    PREVIOUS = r#"<path d="m14.5 6-6 6 6 6"/>"#;
    NEXT = r#"<path d="m9.5 6 6 6-6 6"/>"#;
    PIN = r#"<path d="M9 3.5h6l-.8 6 3.3 3.5v1.5h-11V13l3.3-3.5z"/><path d="M12 14.5V21"/>"#;
    PLUS = r#"<path d="M12 5v14M5 12h14"/>"#;
    TRASH = r#"<path d="M4.5 6.5h15M9.5 6.5V4h5v2.5M6.5 6.5l1 14h9l1-14M10 10.5v6M14 10.5v6"/>"#;
    PENCIL = r#"<path d="m5 19 1-4.5L16.5 4 20 7.5 9.5 18z"/><path d="m14 6.5 3.5 3.5"/>"#;
    COPY = r#"<path d="M9 9h11v11H9z"/><path d="M15 9V4H4v11h5"/>"#;
    THUMB_UP = r#"<path d="M4 10.5h3.5V20H4z"/><path d="m7.5 11 4-7c1.7 0 2.6 1 2.3 2.8L13.3 10h5.2c1.2 0 1.8.9 1.6 2l-1.2 6.3c-.2 1-.9 1.7-2 1.7H7.5"/>"#;
    THUMB_DOWN = r#"<path d="M20 13.5h-3.5V4H20z"/><path d="m16.5 13-4 7c-1.7 0-2.6-1-2.3-2.8l.5-3.2H5.5c-1.2 0-1.8-.9-1.6-2l1.2-6.3c.2-1 .9-1.7 2-1.7h9.4"/>"#;
    AGAIN = r#"<path d="M19.5 12a7.5 7.5 0 1 1-2.2-5.3L20 9.5"/><path d="M20 4.5v5h-5"/>"#;
    LINK = r#"<path d="M10 14a4 4 0 0 0 5.7 0l3.1-3.1a4 4 0 0 0-5.7-5.7l-1 1"/><path d="M14 10a4 4 0 0 0-5.7 0l-3.1 3.1a4 4 0 0 0 5.7 5.7l1-1"/>"#;
    OUT = r#"<path d="M13 4H5v16h8M10 12h10M16 8l4 4-4 4"/>"#;
    USER = r#"<circle cx="12" cy="8.5" r="4"/><path d="M4.5 20.5c.8-4 3.7-6 7.5-6s6.7 2 7.5 6"/>"#;
    SWITCH = r#"<path d="m8 9.5 4-4 4 4M8 14.5l4 4 4-4"/>"#;
    SUN = r#"<circle cx="12" cy="12" r="4"/><path d="M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M18.7 5.3l-1.4 1.4M6.7 17.3l-1.4 1.4"/>"#;
    MOON = r#"<path d="M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z"/>"#;
    DISPLAY = r#"<path d="M3.5 5h17v11h-17zM9 20h6M12 16v4"/>"#;
    BACK = r#"<path d="M19.5 12h-15M11 5.5 4.5 12l6.5 6.5"/>"#;
    OPEN = r#"<path d="M13 4.5h6.5V11M19.5 4.5 11 13M17.5 14v5.5h-13v-13H10"/>"#;
}

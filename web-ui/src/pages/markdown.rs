//! The Markdown of our own documentation as HTML: headings, paragraphs, lists, fenced code, `code`, **bold**, links. Pure.
//!
//! Everything is escaped first; only the tags written here can come out.

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// A target that a link of ours may have.
fn is_safe(target: &str) -> bool {
    target.starts_with("https://") || (target.starts_with('/') && !target.starts_with("//")) || target.starts_with('#')
}

/// Marks inside one paragraph; the text is escaped already.
fn inline(text: &str) -> String {
    let mut out = String::new();
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 1 {
            out.push_str(&format!("<code>{part}</code>"));
            continue;
        }
        for (index, part) in part.split("**").enumerate() {
            let part = links(part);
            out.push_str(&if index % 2 == 1 { format!("<strong>{part}</strong>") } else { part });
        }
    }
    out
}

fn links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        out.push_str(before);
        let link = after.split_once("](").and_then(|(label, tail)| Some((label, tail.split_once(')')?)));
        match link {
            Some((label, (target, tail))) if !label.contains('[') => {
                // Pages of codes link to each other by file name.
                let page = target.strip_suffix(".md").filter(|name| name.starts_with("SW-")).map(|name| format!("/errors/{name}"));
                let target = page.unwrap_or_else(|| target.to_owned());
                out.push_str(&if is_safe(&target) { format!("<a href=\"{target}\">{label}</a>") } else { label.to_owned() });
                rest = tail;
            }
            _ => {
                out.push('[');
                rest = after;
            }
        }
    }
    out + rest
}

/// Turns a text into HTML. Its first heading of level one is left out: the page has it already.
pub(crate) fn html(text: &str) -> String {
    let mut out = String::new();
    let mut paragraph: Vec<String> = Vec::new();
    let mut list: Option<&str> = None;
    let mut code: Option<String> = None;
    let flush = |out: &mut String, paragraph: &mut Vec<String>| {
        if !paragraph.is_empty() {
            out.push_str(&format!("<p>{}</p>\n", inline(&paragraph.join("\n"))));
            paragraph.clear();
        }
    };
    let close = |out: &mut String, list: &mut Option<&str>| {
        if let Some(tag) = list.take() {
            out.push_str(&format!("</{tag}>\n"));
        }
    };
    for raw in text.lines() {
        if raw.trim_start().starts_with("```") {
            match code.take() {
                Some(block) => out.push_str(&format!("<pre>{block}</pre>\n")),
                None => {
                    flush(&mut out, &mut paragraph);
                    close(&mut out, &mut list);
                    code = Some(String::new());
                }
            }
            continue;
        }
        let line = escape(raw);
        if let Some(block) = &mut code {
            block.push_str(&line);
            block.push('\n');
            continue;
        }
        let trimmed = line.trim();
        let heading = trimmed.find(|c| c != '#').filter(|level| (1..=4).contains(level) && trimmed[*level..].starts_with(' '));
        let numbered = trimmed.split_once(". ").filter(|(n, _)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        let item = trimmed.strip_prefix("- ").or_else(|| trimmed.strip_prefix("* "));
        if let Some(level) = heading {
            flush(&mut out, &mut paragraph);
            close(&mut out, &mut list);
            if level > 1 {
                out.push_str(&format!("<h{level}>{}</h{level}>\n", inline(trimmed[level..].trim())));
            }
        } else if let Some((tag, text)) = item.map(|text| ("ul", text)).or(numbered.map(|(_, text)| ("ol", text))) {
            flush(&mut out, &mut paragraph);
            if list != Some(tag) {
                close(&mut out, &mut list);
                out.push_str(&format!("<{tag}>\n"));
                list = Some(tag);
            }
            out.push_str(&format!("<li>{}</li>\n", inline(text)));
        } else if trimmed.is_empty() {
            flush(&mut out, &mut paragraph);
            close(&mut out, &mut list);
        } else {
            close(&mut out, &mut list);
            paragraph.push(trimmed.to_owned());
        }
    }
    flush(&mut out, &mut paragraph);
    close(&mut out, &mut list);
    if let Some(block) = code {
        out.push_str(&format!("<pre>{block}</pre>\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_our_pages_use_is_drawn() {
        let text = "# SW-B103\n\nThe **build** failed, see `bin/build`.\n\n## What to do\n\n- look at [the log](/builds)\n- try `a < b`\n\n1. one\n\n```\n$ slipway <builds>\n```\n";
        assert_eq!(
            html(text),
            "<p>The <strong>build</strong> failed, see <code>bin/build</code>.</p>\n<h2>What to do</h2>\n<ul>\n<li>look at <a href=\"/builds\">the log</a></li>\n\
             <li>try <code>a &lt; b</code></li>\n</ul>\n<ol>\n<li>one</li>\n</ol>\n<pre>$ slipway &lt;builds&gt;\n</pre>\n"
        );
    }

    #[test]
    fn no_markup_gets_through() {
        let drawn = html("<script>x</script> [a](javascript:alert(1)) [b](//evil) [c](SW-A401.md) [d\" onclick=x](/y)");
        assert!(!drawn.contains("<script") && !drawn.contains("javascript:") && !drawn.contains("//evil"), "{drawn}");
        assert!(drawn.contains("<a href=\"/errors/SW-A401\">c</a>") && !drawn.contains("\" onclick"), "{drawn}");
    }
}

//! The links of a page. No more of HTML is understood than that.

/// The most links that are taken of a page.
const LINKS_MAX: usize = 200_000;

/// Whether a text may be a page at all.
pub(crate) fn is_page(text: &str) -> bool {
    let start = text
        .trim_start()
        .get(..200)
        .unwrap_or(text.trim_start())
        .to_ascii_lowercase();
    start.starts_with('<') && (start.contains("<html") || start.contains("<!doctype html"))
}

/// What the `href`s of a page's `<a>` say, with their entities resolved.
pub(crate) fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let Some(tag) = rest
            .strip_prefix(['a', 'A'])
            .filter(|tag| tag.starts_with(|sign: char| sign.is_ascii_whitespace()))
        else {
            continue;
        };
        let (value, after) = href(tag);
        links.extend(value.map(resolve));
        // All that was looked at: however long a tag is, it is looked at once.
        rest = after;
        if links.len() == LINKS_MAX {
            break;
        }
    }
    links
}

/// The value of a tag's `href`, and what comes after what was looked at.
fn href(mut tag: &str) -> (Option<&str>, &str) {
    loop {
        tag = tag.trim_start();
        let ends = |sign: char| sign == '=' || sign == '>' || sign.is_ascii_whitespace();
        let Some((name, after)) = tag.find(ends).map(|end| tag.split_at(end)) else {
            return (None, "");
        };
        let after = after.trim_start();
        let Some(value) = after.strip_prefix('=') else {
            if after.starts_with('>') || name.is_empty() {
                return (None, after);
            }
            tag = after;
            continue;
        };
        let value = value.trim_start();
        let split = if let Some(quote @ ('"' | '\'')) = value.chars().next() {
            value[1..].split_once(quote)
        } else {
            let end = value.find(|sign: char| sign == '>' || sign.is_ascii_whitespace());
            end.map(|end| value.split_at(end))
        };
        let Some((value, after)) = split else {
            return (None, "");
        };
        if name.eq_ignore_ascii_case("href") {
            return (Some(value), after);
        }
        tag = after;
    }
}

/// Entities as listings have them.
fn resolve(text: &str) -> String {
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        resolved += before;
        let sign = after.split_once(';').and_then(|(name, after)| {
            let sign = match name {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                _ => {
                    let number = name.strip_prefix('#')?;
                    let number = match number.strip_prefix(['x', 'X']) {
                        Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                        None => number.parse().ok()?,
                    };
                    char::from_u32(number)?
                }
            };
            Some((sign, after))
        });
        let (sign, after) = sign.unwrap_or(('&', after));
        resolved.push(sign);
        rest = after;
    }
    resolved + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn listings_of_the_usual_servers_are_read() {
        let nginx = "<html>\r\n<head><title>Index of /p/</title></head>\r\n<body>\r\n<h1>Index of /p/</h1><hr><pre><a href=\"../\">../</a>\r\n<a href=\"osv.cli.mpm\">osv.cli.mpm</a>   22-Nov-2025 10:00   123\r\n</pre><hr></body>\r\n</html>";
        let apache = "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 3.2 Final//EN\">\n<html><body><table><tr><th><a href=\"?C=N;O=D\">Name</a></th></tr><tr><td valign=\"top\"><img src=\"/icons/a.gif\" alt=\"[   ]\"></td><td><a href=\"a%20b.mpm\">a b.mpm</a></td></tr></table></body></html>";
        let python = "<!DOCTYPE HTML>\n<html lang=\"en\">\n<body>\n<ul>\n<li><a href=\"c%26d.mpm\">c&amp;d.mpm</a></li>\n<li><a class=x HREF = 'e&amp;f.mpm'>e</a></li><li><a href=g.mpm>g</a><a name=top><abbr href=\"no\">\n</ul></html>";
        assert_eq!(links(nginx), ["../", "osv.cli.mpm"]);
        assert_eq!(links(apache), ["?C=N;O=D", "a%20b.mpm"]);
        assert_eq!(links(python), ["c%26d.mpm", "e&f.mpm", "g.mpm"]);
        assert!([nginx, apache, python].into_iter().all(is_page));
        assert!(!is_page("{\"a\": \"<html>\"}"));
    }

    /// Looked at from each of its beginnings, it would take an hour.
    #[test]
    fn a_tag_without_an_end_is_looked_at_once() {
        for part in ["<a b ", "<a b=", "<a b=<a ", "<a b='<a c=\"d' "] {
            let text = part.repeat((1 << 20) / part.len());
            assert!(links(&text).is_empty());
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "(<|a|A| |=|\"|'|>|href|&|#|x|;|é|\n){0,60}") {
            let _ = (links(&text), is_page(&text));
        }
    }
}

//! The XML of `ListObjectsV2`, read as a stream of events: nothing is believed of its shape.

use quick_xml::Reader;
use quick_xml::events::Event;

/// The deepest that elements may lie in each other.
const DEPTH_MAX: usize = 16;

/// One page of a bucket's list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// The objects.
    pub(crate) objects: Vec<Object>,
    /// The token that the next page is had by.
    pub(crate) next: Option<String>,
}

/// An object of a bucket.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) key: String,
    pub(crate) size_bytes: u64,
    pub(crate) etag: Option<String>,
}

/// Reads a page; what is wrong with it, in words.
pub(crate) fn parse(text: &str) -> Result<Page, String> {
    let mut reader = Reader::from_str(text);
    let mut page = Page::default();
    let mut path: Vec<String> = Vec::new();
    let mut value = String::new();
    let mut object = None;
    let mut truncated = false;
    let no_xml = |_| "it is no XML".to_owned();
    loop {
        match reader.read_event().map_err(no_xml)? {
            Event::Start(start) => {
                path.push(start.local_name().as_ref().to_owned());
                if path.len() == 1 && path[0] != "ListBucketResult" {
                    return Err("it is no list of a bucket".to_owned());
                }
                if path.len() > DEPTH_MAX {
                    return Err("its elements lie too deep in each other".to_owned());
                }
                if path.len() == 2 && path[1] == "Contents" {
                    object = Some(Object::default());
                }
                value.clear();
            }
            Event::Text(text) => value += text.as_ref(),
            Event::CData(text) => value += text.as_ref(),
            Event::GeneralRef(reference) => {
                let sign = match reference.resolve_char_ref() {
                    Ok(Some(sign)) => sign,
                    _ => match reference.as_ref() {
                        "amp" => '&',
                        "lt" => '<',
                        "gt" => '>',
                        "quot" => '"',
                        "apos" => '\'',
                        _ => return Err("it has an entity that is not known".to_owned()),
                    },
                };
                value.push(sign);
            }
            Event::End(_) => {
                let names: Vec<&str> = path.iter().map(String::as_str).collect();
                match (names.as_slice(), &mut object) {
                    ([_, "Contents"], object) => {
                        if let Some(object) = object.take().filter(|object| !object.key.is_empty())
                        {
                            page.objects.push(object);
                        }
                    }
                    ([_, "Contents", "Key"], Some(object)) => object.key.clone_from(&value),
                    ([_, "Contents", "Size"], Some(object)) => {
                        object.size_bytes = value
                            .trim()
                            .parse()
                            .map_err(|_| format!("the size of {} is no number", object.key))?;
                    }
                    ([_, "Contents", "ETag"], Some(object)) => {
                        object.etag = Some(value.trim().trim_matches('"').to_owned());
                    }
                    ([_, "NextContinuationToken"], _) => page.next = Some(value.clone()),
                    ([_, "IsTruncated"], _) => truncated = value.trim() == "true",
                    _ => {}
                }
                path.pop();
                value.clear();
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if !path.is_empty() {
        return Err("it ends early".to_owned());
    }
    if !truncated {
        page.next = None;
    } else if page.next.is_none() {
        return Err("it does not say where its list goes on".to_owned());
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_page_is_read() {
        let page = parse(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><IsTruncated>true</IsTruncated>
<Contents><Key>packages/a&amp;b&#x20;c.mpm</Key><LastModified>2017-10-12T17:50:30.000Z</LastModified><ETag>&quot;fba9&quot;</ETag><Size>42</Size><Owner><ID>x</ID></Owner></Contents>
<NextContinuationToken>1ueG==</NextContinuationToken></ListBucketResult>"#,
        )
        .unwrap();
        insta::assert_debug_snapshot!(page, @r#"
        Page {
            objects: [
                Object {
                    key: "packages/a&b c.mpm",
                    size_bytes: 42,
                    etag: Some(
                        "fba9",
                    ),
                },
            ],
            next: Some(
                "1ueG==",
            ),
        }
        "#);
    }

    #[test]
    fn what_is_no_page_is_refused() {
        let tell = |text: &str| parse(text).unwrap_err();
        let list = |inner: &str| format!("<ListBucketResult>{inner}</ListBucketResult>");
        insta::assert_snapshot!([
            tell("<html><body>hello</body></html>"),
            tell("<ListBucketResult><Contents>"),
            tell(&list("<Contents><Key>a</Key><Size>-1</Size></Contents>")),
            tell(&list("<IsTruncated>true</IsTruncated>")),
            tell(&list("<Contents><Key>&lol;</Key></Contents>")),
            tell(&"<ListBucketResult>".repeat(1000)),
        ].join("\n"), @r"
        it is no list of a bucket
        it ends early
        the size of a is no number
        it does not say where its list goes on
        it has an entity that is not known
        its elements lie too deep in each other
        ");
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "(<|>|/|&|;|ListBucketResult|Contents|Key|Size|a|1){0,60}") {
            let _ = parse(&text);
        }
    }
}

//! YAML whose keys stay in the order in which they were put.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_saphyr::{FlowMap, FlowSeq};

/// A piece of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(u64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => to.serialize_unit(),
            Self::Bool(value) => to.serialize_bool(*value),
            Self::Number(value) => to.serialize_u64(*value),
            Self::Text(text) => to.serialize_str(text),
            Self::List(items) if items.iter().all(Self::is_scalar) => FlowSeq(items).serialize(to),
            Self::List(items) => to.collect_seq(items),
            Self::Map(entries) if is_call(entries) => FlowMap(Entries(entries)).serialize(to),
            Self::Map(entries) => Entries(entries).serialize(to),
        }
    }
}

impl Node {
    fn is_scalar(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Map(_))
    }
}

/// `{get_param: NAME}` and the like stand on one line.
fn is_call(entries: &[(String, Node)]) -> bool {
    let [(key, value)] = entries else {
        return false;
    };
    key.starts_with("get_")
        && match value {
            Node::List(items) => items.iter().all(Node::is_scalar),
            value => value.is_scalar(),
        }
}

struct Entries<'a>(&'a [(String, Node)]);

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl From<bool> for Node {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u32> for Node {
    fn from(value: u32) -> Self {
        Self::Number(value.into())
    }
}

impl From<u16> for Node {
    fn from(value: u16) -> Self {
        Self::Number(value.into())
    }
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Node {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<Node>> for Node {
    fn from(items: Vec<Node>) -> Self {
        Self::List(items)
    }
}

/// A map of what is given, in its order.
pub(crate) fn map<K: Into<String>, const N: usize>(entries: [(K, Node); N]) -> Node {
    Node::Map(
        entries
            .into_iter()
            .map(|(key, value)| (key.into(), value))
            .collect(),
    )
}

/// A list of what is given.
pub(crate) fn list<T: Into<Node>, const N: usize>(items: [T; N]) -> Node {
    Node::List(items.into_iter().map(Into::into).collect())
}

/// One document.
pub(crate) fn text(node: &Node) -> String {
    // What cannot be written is not among the kinds of nodes.
    serde_saphyr::to_string(node).unwrap_or_default()
}

//! Servers that get another size, or another image.

use serde_json::json;

use super::actions::ask;
use crate::Session;
use crate::error::Result;

/// Gives a server another size; it is to be confirmed or taken back when it runs with it. The number of the request.
///
/// # Errors
/// As Nova refuses: the quota, a flavor that is too small for its disk, a state in which it cannot be.
pub async fn resize(session: &Session, id: &str, flavor: &str) -> Result<Option<String>> {
    let body = json!({ "resize": { "flavorRef": flavor } });
    ask(session, id, body, "give the server another size").await
}

/// Puts another image into a server, which keeps its id, addresses and volumes. The number of the request.
///
/// # Errors
/// As Nova refuses: an image that needs more than the flavor has.
pub async fn rebuild(session: &Session, id: &str, image: &str) -> Result<Option<String>> {
    let body = json!({ "rebuild": { "imageRef": image } });
    ask(session, id, body, "rebuild the server").await
}

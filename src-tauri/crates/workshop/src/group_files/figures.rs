//! Figures: what services say of themselves in JSON, such as how many data nodes a name node knows.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::join_all;
use serde::Serialize;
use serde_json::Value;
use specta::Type;
use windlass_package::group_file::FigureUnit;

use super::health::{address, get};
use super::view::running;
use crate::Workshop;
use crate::error::Result;

/// A longer document is not read.
const DOCUMENT_MAX_BYTES: usize = 4 << 20;
/// A longer value is cut.
const VALUE_MAX_CHARS: usize = 200;

/// A value that a service says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct GroupFigure {
    /// The service.
    pub service: String,
    /// The machine that was asked, by id; none while none runs.
    pub machine: Option<String>,
    /// What the value is called.
    pub label: String,
    /// The value, as text; none where there is none.
    pub value: Option<String>,
    /// The value in bytes, where the file says that this is what it counts.
    pub bytes: Option<u64>,
    /// Why there is no value.
    pub problem: Option<String>,
}

impl Workshop {
    /// Asks the services of a group for the figures that its file names. A service of several machines is asked by the
    /// first of them that runs.
    ///
    /// # Errors
    /// `NotFound` when there is no such group or its file is gone; `Input` when that has a mistake.
    pub async fn group_figures(self: &Arc<Self>, group: &str) -> Result<Vec<GroupFigure>> {
        let plan = self.plan_of(group)?;
        let machines = self.machines_of_group(&plan.name);
        let mut asked = Vec::new();
        let mut pages: Vec<(SocketAddr, &str)> = Vec::new();
        for service in &plan.services {
            let handle = running(&plan, service, &machines);
            for figure in &service.figures {
                let page = handle
                    .and_then(|handle| address(handle, figure.port))
                    .map(|address| (address, figure.path.as_str()));
                if let Some(page) = page.filter(|page| !pages.contains(page)) {
                    pages.push(page);
                }
                asked.push((service, figure, handle, page));
            }
        }
        let documents =
            join_all(pages.iter().map(|(address, path)| document(*address, path))).await;
        let documents: HashMap<_, _> = pages.iter().zip(documents).collect();
        let told = asked.into_iter().map(|(service, figure, handle, page)| {
            let value = match page.and_then(|page| documents.get(&page)) {
                None => Err("It does not run".to_owned()),
                Some(Err(problem)) => Err(problem.clone()),
                Some(Ok(document)) => document
                    .pointer(&figure.pointer)
                    .ok_or_else(|| format!("There is nothing at {} of its answer", figure.pointer)),
            };
            let (bytes, text, problem) = match value {
                Ok(value) => {
                    let bytes = (figure.unit == FigureUnit::Bytes)
                        .then(|| value.as_u64())
                        .flatten();
                    (bytes, Some(text(value)), None)
                }
                Err(problem) => (None, None, Some(problem)),
            };
            GroupFigure {
                service: service.name.clone(),
                machine: handle.map(|it| it.id().to_owned()),
                label: figure.label.clone(),
                value: text,
                bytes,
                problem,
            }
        });
        Ok(told.collect())
    }
}

async fn document(address: SocketAddr, path: &str) -> Result<Value, String> {
    let Some(mut answer) = get(address, path).await else {
        return Err("It does not answer".into());
    };
    if !answer.status().is_success() {
        return Err(format!("It answers with {}", answer.status()));
    }
    let mut bytes = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(|_| "Its answer broke off")? {
        bytes.extend_from_slice(&part);
        if bytes.len() > DOCUMENT_MAX_BYTES {
            return Err("Its answer is too long".into());
        }
    }
    serde_json::from_slice(&bytes).map_err(|error| format!("Its answer is not JSON: {error}"))
}

/// A value as it is shown: text without its quotes.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.chars().take(VALUE_MAX_CHARS).collect(),
        other => other.to_string().chars().take(VALUE_MAX_CHARS).collect(),
    }
}

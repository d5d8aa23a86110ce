//! What the cloud that the machine runs on tells it: user data ([`windlass_guest::user_data`]).
//!
//! ```text
//!   a disk that holds an ISO 9660 named `cidata` ──► its file `user-data`            KubeVirt, and others (NoCloud)   [seed]
//!   a machine made by OpenStack ──► http://169.254.169.254/openstack/latest/user_data                                  [metadata]
//! ```
//!
//! A machine of this computer has neither, and loses no time by it.

mod metadata;
mod seed;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use windlass_guest::UserData;
use windlass_guest::report::Report;
use windlass_guest::user_data::UserDataError;

use crate::console::Console;

/// What the firmware says that the machine is.
const PRODUCT: &str = "/sys/class/dmi/id/product_name";

/// How OpenStack's products begin: `OpenStack Nova`, `OpenStack Compute`.
const OPENSTACK: &str = "OpenStack";

/// What the cloud tells; nothing where there is no cloud, or it tells something for other guests. The network is up.
pub(crate) fn user_data(console: &mut Console) -> UserData {
    let found = match seed::read(Path::new("/sys/block")) {
        Some(text) => Ok(Some(text)),
        None if is_openstack() => metadata::fetch(),
        None => Ok(None),
    };
    let mut warn = |message: String| console.report(&Report::Warning { message });
    match found {
        Ok(None) => UserData::default(),
        Ok(Some(text)) => match UserData::parse(&text) {
            Ok(data) => data,
            Err(UserDataError::OfOthers) => {
                warn("the user data of the cloud are for another kind of guest".to_owned());
                UserData::default()
            }
            Err(error) => {
                warn(format!(
                    "the user data of the cloud cannot be followed: {error}"
                ));
                UserData::default()
            }
        },
        Err(reason) => {
            warn(format!(
                "the user data of the cloud cannot be read: {reason}"
            ));
            UserData::default()
        }
    }
}

/// Adds names to `/etc/hosts`.
pub(crate) fn name_hosts(data: &UserData, console: &mut Console) {
    if data.hosts.is_empty() {
        return;
    }
    let mut text = fs::read_to_string("/etc/hosts").unwrap_or_default();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for host in &data.hosts {
        let line = format!("{} {}", host.address, host.names.join(" "));
        // The root may be of an earlier start.
        if !text.lines().any(|it| it == line) {
            let _ = writeln!(text, "{line}");
        }
    }
    if let Err(error) = fs::write("/etc/hosts", text) {
        let message = format!("cannot write /etc/hosts: {error}");
        console.report(&Report::Warning { message });
    }
}

fn is_openstack() -> bool {
    fs::read_to_string(PRODUCT).is_ok_and(|name| name.starts_with(OPENSTACK))
}

//! What the kernel's parameters say to us.

use std::time::Duration;

/// The parameters that begin with `windlass.`; others are the kernel's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub network: NetworkNeed,
    pub dhcp_timeout: Duration,
    /// The interfaces that ask for an address; none where nothing is said of them.
    pub dhcp: Vec<String>,
    pub hostname: Option<String>,
    pub root: Option<String>,
    /// Whether the host may change files while the commands run.
    pub agent: bool,
}

/// What it means to get no address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NetworkNeed {
    /// An error: the guest ends.
    #[default]
    Required,
    /// A warning: the commands run without.
    Optional,
    /// Nothing but loopback.
    Off,
}

const DHCP_TIMEOUT: Duration = Duration::from_secs(12);

impl Settings {
    pub(crate) fn parse(parameters: &str) -> Self {
        let mut settings = Self {
            network: NetworkNeed::default(),
            dhcp_timeout: DHCP_TIMEOUT,
            dhcp: Vec::new(),
            hostname: None,
            root: None,
            agent: false,
        };
        for parameter in parameters.split_ascii_whitespace() {
            let Some((key, value)) = parameter
                .strip_prefix("windlass.")
                .and_then(|rest| rest.split_once('='))
            else {
                continue;
            };
            match (key, value) {
                ("network", "required") => settings.network = NetworkNeed::Required,
                ("network", "optional") => settings.network = NetworkNeed::Optional,
                ("network", "off") => settings.network = NetworkNeed::Off,
                ("dhcp-seconds", value) => {
                    if let Ok(seconds) = value.parse::<u16>() {
                        settings.dhcp_timeout = Duration::from_secs(seconds.into());
                    }
                }
                ("dhcp", names) => {
                    let names = names.split(',').filter(|name| is_interface(name));
                    settings.dhcp = names.map(str::to_owned).collect();
                }
                ("hostname", name) => settings.hostname = Some(name.to_owned()),
                ("agent", value) => settings.agent = value == "on",
                ("root", device) => settings.root = Some(device.to_owned()),
                _ => {}
            }
        }
        settings
    }
}

/// What the name of an interface looks like; it becomes part of a path.
fn is_interface(name: &str) -> bool {
    (1..=15).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_are_read_among_the_kernels() {
        let settings = Settings::parse(
            "console=ttyS0 quiet windlass.network=optional windlass.dhcp-seconds=3 windlass.hostname=web-1 windlass.dhcp=eth1,../x,eth2 \
             windlass.agent=on windlass.root=/dev/vdb windlass.dhcp-seconds=x windlass.unknown=1 root=/dev/sda",
        );
        assert_eq!(settings.network, NetworkNeed::Optional);
        assert_eq!(settings.dhcp_timeout, Duration::from_secs(3));
        assert_eq!(settings.hostname.as_deref(), Some("web-1"));
        assert_eq!(settings.root.as_deref(), Some("/dev/vdb"));
        assert!(settings.agent);
        assert_eq!(settings.dhcp, ["eth1", "eth2"]);
        let settings = Settings::parse("quiet windlass.agent=maybe");
        assert_eq!(
            (settings.network, settings.agent),
            (NetworkNeed::Required, false)
        );
    }
}

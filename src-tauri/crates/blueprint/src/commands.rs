//! The same as commands of OpenStack's own client, in a script.

use std::fmt::Write as _;

use windlass_guest::user_data::{Host, UserData};

use crate::{Blueprint, Machine};

/// The addresses of the group's network.
const CIDR: &str = "10.77.0.0/24";

/// The script's text.
pub fn script(blueprint: &Blueprint) -> String {
    let name = blueprint.name.as_str();
    let mut text = format!(
        "#!/usr/bin/env bash
# {name}: {count} machines, by the client of OpenStack (python3-openstackclient), which finds its cloud by OS_CLOUD or OS_*.
# The first argument is the network outside that floating addresses come from; without one, there are none.
set -euo pipefail
outside=${{1:-}}

address() {{ openstack port show -f value -c fixed_ips \"$1\" | grep -oE '([0-9]+\\.){{3}}[0-9]+' | head -n 1; }}

openstack network create --tag windlass {name}
openstack subnet create --network {name} --subnet-range {CIDR} --tag windlass {name}
if [[ -n $outside ]]; then
  openstack router create --tag windlass {name}
  openstack router set --external-gateway \"$outside\" {name}
  openstack router add subnet {name} {name}
fi
openstack security group create --description 'windlass: {name}' {name}
openstack security group rule create --remote-group {name} --protocol any {name}
",
        count = blueprint.machines().count(),
    );
    for port in blueprint.ports() {
        let protocol = if port.udp { "udp" } else { "tcp" };
        let _ = writeln!(
            text,
            "openstack security group rule create --protocol {protocol} --dst-port {} {name}",
            port.number
        );
    }
    let machines: Vec<_> = blueprint.machines().collect();
    for machine in &machines {
        let _ = writeln!(
            text,
            "openstack port create --network {name} --security-group {name} --tag windlass {name}-{}",
            machine.name()
        );
    }
    for machine in &machines {
        of_machine(&mut text, name, machine, &machines);
    }
    text
}

fn of_machine(text: &mut String, group: &str, machine: &Machine<'_>, all: &[Machine<'_>]) {
    let service = machine.service;
    let name = format!("{group}-{}", machine.name());
    let hosts = all
        .iter()
        .filter(|it| it.name() != machine.name())
        .map(|it| Host {
            address: format!("$(address {group}-{})", it.name()),
            names: vec![it.name()],
        });
    let data = UserData {
        command_line: service.command_line.as_deref().map(in_document),
        hosts: hosts.collect(),
    };
    let flavor = match &service.flavor {
        Some(flavor) => quoted(flavor),
        None => "\"${FLAVOR:?name one}\"".to_owned(),
    };
    let _ = write!(
        text,
        "
# {shown}: {memory} MiB of memory, {vcpus} processors
openstack server create --wait --image {image} --flavor {flavor} --port {name} --property windlass={group} \\
  --user-data <(cat <<END
{data}END
) {name}
",
        shown = machine.name(),
        memory = service.memory_mib,
        vcpus = service.vcpus,
        image = quoted(&service.image),
    );
    for volume in &service.volumes {
        let volume_name = format!("{group}-{}", machine.volume_name(volume));
        let image = volume
            .image
            .as_ref()
            .map(|it| format!("--image {} ", quoted(it)))
            .unwrap_or_default();
        let _ = writeln!(
            text,
            "openstack volume create --size {} {image}--property windlass={group} {volume_name}
until [[ $(openstack volume show -f value -c status {volume_name}) == available ]]; do sleep 1; done
openstack server add volume {name} {volume_name}",
            volume.size_gib
        );
    }
    if !service.ports.is_empty() {
        let _ = writeln!(
            text,
            "[[ -z $outside ]] || openstack floating ip create --port {name} --tag windlass \"$outside\""
        );
    }
}

/// One word for the shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// As it stands within `<<END`.
fn in_document(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('$', "\\$")
        .replace('`', "\\`")
}

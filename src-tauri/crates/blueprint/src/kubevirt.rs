//! Kubernetes resources, for a cluster with `KubeVirt` (and, where there are volumes, its Containerized Data Importer).
//!
//! ```text
//!   Namespace                      the group's own: in it the names of services are as short as the machines know them
//!   Service NAME (headless)        what a machine is found by, whatever its port
//!   Service NAME-outside           its ports, from outside (NodePort)
//!   VirtualMachine NAME            root disk: a containerDisk; what it is told: cloudInitNoCloud, its last disk
//!   DataVolume NAME                a volume, which stays when its machine goes
//! ```
//!
//! Kubernetes starts everything at once: an order is kept by what the machines do until they find each other.

use windlass_guest::user_data::UserData;

use crate::yaml::{self, Node, list, map};
use crate::{Blueprint, Machine, Service, Volume};

/// The resources' text: documents of one YAML file, in the order in which they can be applied.
pub fn resources(blueprint: &Blueprint) -> String {
    let note = format!(
        "# {name}: kubectl apply -f {name}.yaml\n# Needs KubeVirt (kubevirt.io). Virtlet, for which MIKELANGELO made such files, ended in 2019.\n",
        name = blueprint.name
    );
    let documents: Vec<_> = documents(blueprint).iter().map(yaml::text).collect();
    note + &documents.join("---\n")
}

fn documents(blueprint: &Blueprint) -> Vec<Node> {
    let group = blueprint.name.as_str();
    let mut documents = vec![map([
        ("apiVersion", "v1".into()),
        ("kind", "Namespace".into()),
        (
            "metadata",
            map([("name", group.into()), ("labels", map(common(group)))]),
        ),
    ])];
    for service in &blueprint.services {
        documents.push(found_by(
            group,
            &service.name,
            ("app.kubernetes.io/name", &service.name),
        ));
        if !service.ports.is_empty() {
            documents.push(outside(group, service));
        }
    }
    for machine in blueprint.machines() {
        if machine.service.count > 1 {
            documents.push(found_by(
                group,
                &machine.name(),
                ("windlass/machine", &machine.name()),
            ));
        }
        for volume in &machine.service.volumes {
            documents.push(data_volume(group, &machine, volume));
        }
        documents.push(virtual_machine(group, &machine));
    }
    documents
}

fn common(group: &str) -> [(&'static str, Node); 2] {
    [
        ("app.kubernetes.io/part-of", group.into()),
        ("app.kubernetes.io/managed-by", "windlass".into()),
    ]
}

fn labels(group: &str, machine: &Machine<'_>) -> Node {
    let [part, by] = common(group);
    map([
        (
            "app.kubernetes.io/name",
            machine.service.name.as_str().into(),
        ),
        ("windlass/machine", machine.name().into()),
        part,
        by,
    ])
}

fn metadata(group: &str, name: &str) -> Node {
    map([
        ("name", name.into()),
        ("namespace", group.into()),
        ("labels", map(common(group))),
    ])
}

/// A name that leads to the machines which have a label.
fn found_by(group: &str, name: &str, (label, value): (&str, &str)) -> Node {
    map([
        ("apiVersion", "v1".into()),
        ("kind", "Service".into()),
        ("metadata", metadata(group, name)),
        (
            "spec",
            map([
                ("clusterIP", "None".into()),
                // A machine is looked for before it is ready.
                ("publishNotReadyAddresses", true.into()),
                ("selector", map([(label, value.into())])),
            ]),
        ),
    ])
}

fn outside(group: &str, service: &Service) -> Node {
    let port = |port: &crate::Port| {
        let protocol = if port.udp { "UDP" } else { "TCP" };
        map([
            (
                "name",
                format!("{}-{}", protocol.to_ascii_lowercase(), port.number).into(),
            ),
            ("protocol", protocol.into()),
            ("port", port.number.into()),
            ("targetPort", port.number.into()),
        ])
    };
    map([
        ("apiVersion", "v1".into()),
        ("kind", "Service".into()),
        (
            "metadata",
            metadata(group, &format!("{}-outside", service.name)),
        ),
        (
            "spec",
            map([
                ("type", "NodePort".into()),
                (
                    "selector",
                    map([("app.kubernetes.io/name", service.name.as_str().into())]),
                ),
                (
                    "ports",
                    Node::List(service.ports.iter().map(port).collect()),
                ),
            ]),
        ),
    ])
}

fn data_volume(group: &str, machine: &Machine<'_>, volume: &Volume) -> Node {
    let source = match &volume.image {
        Some(image) => map([(
            "registry",
            map([("url", format!("docker://{image}").into())]),
        )]),
        None => map([("blank", Node::Map(Vec::new()))]),
    };
    map([
        ("apiVersion", "cdi.kubevirt.io/v1beta1".into()),
        ("kind", "DataVolume".into()),
        ("metadata", metadata(group, &machine.volume_name(volume))),
        (
            "spec",
            map([
                ("source", source),
                (
                    "storage",
                    map([
                        ("accessModes", list(["ReadWriteOnce"])),
                        (
                            "resources",
                            map([(
                                "requests",
                                map([("storage", format!("{}Gi", volume.size_gib).into())]),
                            )]),
                        ),
                    ]),
                ),
            ]),
        ),
    ])
}

fn virtual_machine(group: &str, machine: &Machine<'_>) -> Node {
    let service = machine.service;
    let disk = |name: &str| {
        map([
            ("name", name.into()),
            ("disk", map([("bus", "virtio".into())])),
        ])
    };
    let mut disks = vec![disk("root")];
    let mut volumes = vec![map([
        ("name", "root".into()),
        (
            "containerDisk",
            map([("image", service.image.as_str().into())]),
        ),
    ])];
    for volume in &service.volumes {
        disks.push(disk(&volume.name));
        volumes.push(map([
            ("name", volume.name.as_str().into()),
            (
                "dataVolume",
                map([("name", machine.volume_name(volume).into())]),
            ),
        ]));
    }
    if service.command_line.is_some() {
        let told = UserData {
            command_line: service.command_line.clone(),
            hosts: Vec::new(),
        };
        // Behind the volumes, whose device names the command line has.
        disks.push(disk("told"));
        volumes.push(map([
            ("name", "told".into()),
            (
                "cloudInitNoCloud",
                map([("userData", told.to_string().into())]),
            ),
        ]));
    }
    let domain = map([
        ("cpu", map([("cores", service.vcpus.into())])),
        (
            "memory",
            map([("guest", format!("{}Mi", service.memory_mib).into())]),
        ),
        (
            "devices",
            map([
                ("disks", Node::List(disks)),
                (
                    "interfaces",
                    list([map([
                        ("name", "default".into()),
                        ("masquerade", Node::Map(Vec::new())),
                    ])]),
                ),
                ("rng", Node::Map(Vec::new())),
            ]),
        ),
    ]);
    map([
        ("apiVersion", "kubevirt.io/v1".into()),
        ("kind", "VirtualMachine".into()),
        (
            "metadata",
            map([
                ("name", machine.name().into()),
                ("namespace", group.into()),
                ("labels", labels(group, machine)),
            ]),
        ),
        (
            "spec",
            map([
                ("runStrategy", "Always".into()),
                (
                    "template",
                    map([
                        ("metadata", map([("labels", labels(group, machine))])),
                        (
                            "spec",
                            map([
                                ("hostname", machine.name().into()),
                                ("domain", domain),
                                (
                                    "networks",
                                    list([map([
                                        ("name", "default".into()),
                                        ("pod", Node::Map(Vec::new())),
                                    ])]),
                                ),
                                ("volumes", Node::List(volumes)),
                            ]),
                        ),
                    ]),
                ),
            ]),
        ),
    ])
}

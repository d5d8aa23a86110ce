//! A Heat template (HOT).
//!
//! ```text
//!   network ── subnet ── router ── external_network (a parameter; without one, no router and no floating addresses)
//!                │
//!   security_group: the ports, and everything among the machines
//!                │
//!   for each machine:  NAME_port ── NAME (Nova::Server) ── NAME_address (a floating one, where it has ports)
//!                                     └── its volumes (Cinder::Volume, Cinder::VolumeAttachment)
//! ```
//!
//! Machines know each other by name: the addresses of all ports are in their user data, which depend on ports alone, so that no
//! machine waits for another because of its name.

use windlass_guest::user_data::{Host, UserData};

use crate::yaml::{self, Node, list, map};
use crate::{Blueprint, Machine};

/// Heat of Rocky, which all that run today understand.
const VERSION: &str = "2018-08-31";
/// The addresses of the group's network.
const CIDR: &str = "10.77.0.0/24";
/// What marks things as made by Windlass.
const LABEL: &str = "windlass";
/// The same for what Heat takes away with its stack, and nobody else should.
const OF_STACK: &str = "windlass_stack";

/// What a service's image and flavor are given by, and by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in the template.
    pub name: String,
    /// What it is where nothing is said.
    pub default: Option<String>,
}

/// The template's text.
pub fn template(blueprint: &Blueprint) -> String {
    let note = format!(
        "# {name}: launch it by\n#   openstack stack create -t {name}.yaml --parameter external_network=NETWORK {name}\n",
        name = blueprint.name
    );
    let Node::Map(sections) = document(blueprint) else {
        return note;
    };
    let sections = sections
        .into_iter()
        .map(|section| yaml::text(&Node::Map(vec![section])));
    note + &sections.collect::<Vec<_>>().join("\n")
}

/// The parameters that have to do with services: image and flavor of each.
pub fn parameters(blueprint: &Blueprint) -> Vec<Parameter> {
    let of = |it: &crate::Service| {
        [
            Parameter {
                name: parameter(&it.name, "image"),
                default: Some(it.image.clone()),
            },
            Parameter {
                name: parameter(&it.name, "flavor"),
                default: it.flavor.clone(),
            },
        ]
    };
    blueprint.services.iter().flat_map(of).collect()
}

fn document(blueprint: &Blueprint) -> Node {
    let machines: Vec<_> = blueprint.machines().collect();
    map([
        ("heat_template_version", VERSION.into()),
        (
            "description",
            format!(
                "{}: {} machines, described by Windlass",
                blueprint.name,
                machines.len()
            )
            .into(),
        ),
        ("parameters", declared(blueprint)),
        (
            "conditions",
            map([
                (
                    "has_outside",
                    map([(
                        "not",
                        map([("equals", list([get("external_network"), "".into()]))]),
                    )]),
                ),
                (
                    "has_key",
                    map([("not", map([("equals", list([get("key_name"), "".into()]))]))]),
                ),
            ]),
        ),
        ("resources", resources(blueprint, &machines)),
        ("outputs", outputs(&machines)),
    ])
}

fn parameter(service: &str, what: &str) -> String {
    format!("{}_{what}", service.replace('-', "_"))
}

fn declared(blueprint: &Blueprint) -> Node {
    let mut declared = Vec::new();
    for service in &blueprint.services {
        let constraint = |name: &str| list([map([("custom_constraint", name.into())])]);
        declared.push((
            parameter(&service.name, "image"),
            map([
                ("type", "string".into()),
                ("label", format!("Image of {}", service.name).into()),
                ("default", service.image.as_str().into()),
                ("constraints", constraint("glance.image")),
            ]),
        ));
        let mut flavor = vec![
            ("type".to_owned(), "string".into()),
            (
                "label".to_owned(),
                format!("Flavor of {}", service.name).into(),
            ),
            (
                "description".to_owned(),
                format!(
                    "With {} MiB of memory and {} processors at least",
                    service.memory_mib, service.vcpus
                )
                .into(),
            ),
        ];
        if let Some(known) = &service.flavor {
            flavor.push(("default".to_owned(), known.as_str().into()));
        }
        flavor.push(("constraints".to_owned(), constraint("nova.flavor")));
        declared.push((parameter(&service.name, "flavor"), Node::Map(flavor)));
    }
    let optional = |label: &str, description: &str, default: &str| {
        map([
            ("type", "string".into()),
            ("label", label.into()),
            ("description", description.into()),
            ("default", default.into()),
        ])
    };
    declared.extend([
        (
            "external_network".to_owned(),
            optional(
                "Network outside",
                "Where floating addresses come from; without one, there are none",
                "",
            ),
        ),
        (
            "key_name".to_owned(),
            optional(
                "Key pair",
                "Which key may log in, where a machine has a login",
                "",
            ),
        ),
        (
            "cidr".to_owned(),
            optional(
                "Addresses",
                "Those of the network between the machines",
                CIDR,
            ),
        ),
    ]);
    Node::Map(declared)
}

fn get(parameter: &str) -> Node {
    map([("get_param", parameter.into())])
}

fn reference(resource: &str) -> Node {
    map([("get_resource", resource.into())])
}

fn attribute(resource: &str, path: &[Node]) -> Node {
    let mut items = vec![resource.into()];
    items.extend(path.iter().cloned());
    map([("get_attr", Node::List(items))])
}

fn resource(kind: &str, properties: Node) -> Vec<(String, Node)> {
    vec![
        ("type".to_owned(), kind.into()),
        ("properties".to_owned(), properties),
    ]
}

fn outside(mut resource: Vec<(String, Node)>) -> Node {
    resource.insert(1, ("condition".to_owned(), "has_outside".into()));
    Node::Map(resource)
}

fn after(mut resource: Vec<(String, Node)>, names: Vec<String>) -> Node {
    if !names.is_empty() {
        let names = names.into_iter().map(Node::Text).collect();
        resource.insert(1, ("depends_on".to_owned(), Node::List(names)));
    }
    Node::Map(resource)
}

fn resources(blueprint: &Blueprint, machines: &[Machine<'_>]) -> Node {
    let name = blueprint.name.as_str();
    let mut all = vec![
        (
            "network".to_owned(),
            Node::Map(resource(
                "OS::Neutron::Net",
                map([("name", name.into()), ("tags", list([LABEL]))]),
            )),
        ),
        (
            "subnet".to_owned(),
            Node::Map(resource(
                "OS::Neutron::Subnet",
                map([
                    ("name", name.into()),
                    ("network", reference("network")),
                    ("cidr", get("cidr")),
                    ("tags", list([LABEL])),
                ]),
            )),
        ),
        (
            "router".to_owned(),
            outside(resource(
                "OS::Neutron::Router",
                map([
                    ("name", name.into()),
                    (
                        "external_gateway_info",
                        map([("network", get("external_network"))]),
                    ),
                    ("tags", list([LABEL])),
                ]),
            )),
        ),
        (
            "router_interface".to_owned(),
            outside(resource(
                "OS::Neutron::RouterInterface",
                map([
                    ("router", reference("router")),
                    ("subnet", reference("subnet")),
                ]),
            )),
        ),
        (
            "security_group".to_owned(),
            Node::Map(resource("OS::Neutron::SecurityGroup", rules(blueprint))),
        ),
    ];
    for machine in machines {
        all.extend(of_machine(blueprint, machine, machines));
    }
    Node::Map(all)
}

fn rules(blueprint: &Blueprint) -> Node {
    let mut rules = vec![map([("remote_mode", "remote_group_id".into())])];
    rules.extend(blueprint.ports().into_iter().map(|port| {
        map([
            ("protocol", if port.udp { "udp" } else { "tcp" }.into()),
            ("port_range_min", port.number.into()),
            ("port_range_max", port.number.into()),
        ])
    }));
    map([
        ("name", blueprint.name.as_str().into()),
        ("description", format!("{LABEL}: {}", blueprint.name).into()),
        ("rules", Node::List(rules)),
    ])
}

/// A machine's name as that of a resource.
fn key(machine: &Machine<'_>) -> String {
    machine.name().replace('-', "_")
}

fn of_machine(
    blueprint: &Blueprint,
    machine: &Machine<'_>,
    all: &[Machine<'_>],
) -> Vec<(String, Node)> {
    let service = machine.service;
    let (name, key_of, port) = (
        machine.name(),
        key(machine),
        format!("{}_port", key(machine)),
    );
    let full_name = format!("{}-{name}", blueprint.name);
    let mut resources = vec![(
        port.clone(),
        Node::Map(resource(
            "OS::Neutron::Port",
            map([
                ("name", full_name.as_str().into()),
                ("network", reference("network")),
                ("fixed_ips", list([map([("subnet", reference("subnet"))])])),
                ("security_groups", list([reference("security_group")])),
                ("tags", list([LABEL])),
            ]),
        )),
    )];
    let before = blueprint.before(service.order).iter().map(key).collect();
    resources.push((
        key_of.clone(),
        after(
            resource(
                "OS::Nova::Server",
                map([
                    ("name", full_name.as_str().into()),
                    ("image", get(&parameter(&service.name, "image"))),
                    ("flavor", get(&parameter(&service.name, "flavor"))),
                    (
                        "key_name",
                        map([("if", list(["has_key".into(), get("key_name"), Node::Null]))]),
                    ),
                    ("networks", list([map([("port", reference(&port))])])),
                    (
                        "metadata",
                        map([(OF_STACK, blueprint.name.as_str().into())]),
                    ),
                    ("user_data_format", "RAW".into()),
                    ("user_data", user_data(machine, all)),
                ]),
            ),
            before,
        ),
    ));
    let mut earlier: Option<String> = None;
    for volume in &service.volumes {
        let name = machine.volume_name(volume);
        let key = format!("{key_of}_{}", volume.name.replace('-', "_"));
        let mut properties = vec![
            (
                "name".to_owned(),
                format!("{}-{name}", blueprint.name).into(),
            ),
            ("size".to_owned(), volume.size_gib.into()),
            (
                "metadata".to_owned(),
                map([(OF_STACK, blueprint.name.as_str().into())]),
            ),
        ];
        if let Some(image) = &volume.image {
            properties.push(("image".to_owned(), image.as_str().into()));
        }
        resources.push((
            key.clone(),
            Node::Map(resource("OS::Cinder::Volume", Node::Map(properties))),
        ));
        let attachment = format!("{key}_attachment");
        resources.push((
            attachment.clone(),
            after(
                resource(
                    "OS::Cinder::VolumeAttachment",
                    map([
                        ("instance_uuid", reference(&key_of)),
                        ("volume_id", reference(&key)),
                    ]),
                ),
                // Device names follow the order in which disks come.
                earlier.take().into_iter().collect(),
            ),
        ));
        earlier = Some(attachment);
    }
    if !service.ports.is_empty() {
        let mut address = resource(
            "OS::Neutron::FloatingIP",
            map([
                ("floating_network", get("external_network")),
                ("port_id", reference(&port)),
            ]),
        );
        address.insert(1, ("depends_on".to_owned(), list(["router_interface"])));
        resources.push((format!("{key_of}_address"), outside(address)));
    }
    resources
}

/// What a machine is told: what it runs, and where the others are.
fn user_data(machine: &Machine<'_>, all: &[Machine<'_>]) -> Node {
    let place = |of: &Machine<'_>| format!("%{}%", key(of));
    let others: Vec<_> = all
        .iter()
        .filter(|it| it.name() != machine.name())
        .collect();
    let host = |it: &&Machine<'_>| Host {
        address: place(it),
        names: if it.service.count == 1 {
            vec![it.name()]
        } else {
            vec![it.name(), it.service.name.clone()]
        },
    };
    let text = UserData {
        command_line: machine.service.command_line.clone(),
        hosts: others.iter().map(host).collect(),
    }
    .to_string();
    if others.is_empty() {
        return text.into();
    }
    let addresses = others.iter().map(|it| {
        let port = format!("{}_port", key(it));
        (
            place(it),
            attribute(
                &port,
                &["fixed_ips".into(), 0_u32.into(), "ip_address".into()],
            ),
        )
    });
    map([(
        "str_replace",
        map([
            ("template", text.into()),
            ("params", Node::Map(addresses.collect())),
        ]),
    )])
}

fn outputs(machines: &[Machine<'_>]) -> Node {
    let mut outputs = Vec::new();
    for machine in machines {
        let key = key(machine);
        let path = ["fixed_ips".into(), 0_u32.into(), "ip_address".into()];
        outputs.push((
            format!("{key}_inside"),
            map([
                (
                    "description",
                    format!("Address of {} in the network", machine.name()).into(),
                ),
                ("value", attribute(&format!("{key}_port"), &path)),
            ]),
        ));
        if !machine.service.ports.is_empty() {
            outputs.push((
                format!("{key}_outside"),
                map([
                    ("condition", "has_outside".into()),
                    (
                        "description",
                        format!("Address of {} from outside", machine.name()).into(),
                    ),
                    (
                        "value",
                        attribute(&format!("{key}_address"), &["floating_ip_address".into()]),
                    ),
                ]),
            ));
        }
    }
    Node::Map(outputs)
}

//! What the packages of well-known services leave to their installation scripts and to `systemd`:
//! how they run in the foreground, and what has to be there.

use windlass_guest::GuestOs;

/// How a well-known program is run as the only one of a machine.
pub(super) struct Service {
    /// The package that has it.
    pub package: &'static str,
    /// The name of the configuration.
    pub configuration: &'static str,
    /// The program and its arguments.
    pub command: &'static str,
    /// The same for OSv, where it differs.
    pub osv_command: Option<&'static str>,
    /// Links that the installation would make: path and target.
    pub links: &'static [(&'static str, &'static str)],
    /// Files for OSv, whose root is read-only but for `/tmp`, and which has no version 6 of the
    /// Internet's protocol.
    pub osv_files: &'static [(&'static str, &'static str)],
    /// Files that the installation would make: path and text.
    pub files: &'static [(&'static str, &'static str)],
    /// Folders that it would make.
    pub folders: &'static [&'static str],
    /// What a user ought to know.
    pub note: Option<&'static str>,
}

const PLAIN: Service = Service {
    package: "",
    configuration: "default",
    command: "",
    osv_command: None,
    links: &[],
    osv_files: &[],
    files: &[],
    folders: &[],
    note: None,
};

const SERVICES: [Service; 4] = [
    Service {
        package: "nginx",
        configuration: "nginx",
        command: r#"/usr/sbin/nginx -e stderr -g "daemon off;""#,
        osv_command: Some("/usr/sbin/nginx -e stderr -c /etc/nginx/osv.conf"),
        links: &[(
            "/etc/nginx/sites-enabled/default",
            "/etc/nginx/sites-available/default",
        )],
        osv_files: &[("/etc/nginx/osv.conf", include_str!("nginx-osv.conf"))],
        files: &[(
            "/var/www/html/index.html",
            "<!DOCTYPE html>\n<title>nginx</title>\n<h1>nginx runs</h1>\n<p>Its pages are in /var/www/html.\n",
        )],
        folders: &["/run", "/tmp"],
        note: None,
    },
    Service {
        package: "redis-server",
        configuration: "redis",
        command: "/usr/bin/redis-server --bind 0.0.0.0 --protected-mode no --save \"\"",
        folders: &["/var/lib/redis", "/tmp"],
        note: Some(
            "redis answers everyone who reaches its port, and keeps its data in memory alone",
        ),
        ..PLAIN
    },
    Service {
        package: "python3",
        configuration: "python",
        command: "/usr/bin/python3 $PYTHON_ARGS $MAIN $ARGS",
        ..PLAIN
    },
    Service {
        package: "nodejs",
        configuration: "node",
        command: "/usr/bin/node $NODE_ARGS $MAIN $ARGS",
        ..PLAIN
    },
];

/// The service that one of these packages is known for.
pub(super) fn find(names: &[String]) -> Option<&'static Service> {
    SERVICES
        .iter()
        .find(|service| names.iter().any(|name| name == service.package))
}

impl Service {
    /// Its commands that differ by guest; `ld-linux` is put before that of a program which OSv's own
    /// linker cannot run.
    pub fn by_guest(&self, own_linker: bool) -> Vec<(GuestOs, String)> {
        let osv = self.osv_command.unwrap_or(self.command);
        if own_linker {
            return vec![(GuestOs::Osv, format!("/lib64/ld-linux-x86-64.so.2 {osv}"))];
        }
        let differs = self.osv_command.is_some();
        let command = || (GuestOs::Osv, osv.to_owned());
        differs.then(command).into_iter().collect()
    }
}

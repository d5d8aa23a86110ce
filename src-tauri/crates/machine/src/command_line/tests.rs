use super::*;
use crate::qemu::Qemu;
use crate::spec::{Network, Patience, Protocol, Resources};

fn spec(guest: GuestOs) -> MachineSpec {
    MachineSpec {
        id: "hello-1".to_owned(),
        name: "Hello, world".to_owned(),
        guest,
        vcpus: 2,
        memory_mib: 512,
        boot: Boot::Disk,
        disks: vec![Disk {
            path: "/library/builds/hello, again.img".into(),
            format: DiskFormat::Raw,
            access: DiskAccess::ReadOnly,
            serial: None,
        }],
        network: None,
        networks: Vec::new(),
        display: false,
        agent: false,
        shares: Vec::new(),
        disposable: false,
        patience: Patience::default(),
        resources: Resources::default(),
        group: None,
        console_max_mib: crate::spec::console_max_mib(),
        labels: serde_json::Value::Null,
    }
}

/// The command line as a shell script would break it.
fn text(spec: &MachineSpec, accelerator: Accelerator, ports: &[ForwardedPort]) -> String {
    let probe = Probe {
        qemu: Qemu {
            path: "/usr/bin/qemu-system-x86_64".into(),
            version: "7.2.22".to_owned(),
            size_bytes: 0,
            modified_at: 0,
        },
        host: String::new(),
        accelerator,
        note: None,
        remedy: None,
        unconfined: None,
        features: crate::features::Features::default(),
        sandbox: true,
    };
    let line = CommandLine::new(Launch {
        spec,
        probe: &probe,
        folder: &MachineFolder::new(Path::new("/home/user/windlass/machines"), "hello-1"),
        sockets: &Sockets::of(Path::new("/run/user/1000/windlass/0"), "hello-1").unwrap(),
        ports,
        networks: &[],
        from_memory: false,
    });
    let mut text = String::new();
    for word in line.words() {
        text += if word.starts_with('-') && !text.is_empty() {
            "\n  "
        } else {
            " "
        };
        text += &word;
    }
    text
}

#[test]
fn an_osv_guest_by_its_kernel_under_kvm() {
    let mut spec = spec(GuestOs::Osv);
    spec.boot = Boot::Kernel {
        kernel: "/library/kernels/osv/loader.elf".into(),
        initrd: None,
        append: "--rootfs=rofs --env=A=b\\ c /hello".to_owned(),
        command_line: None,
    };
    spec.network = Some(Network::default());
    spec.display = true;
    let port = ForwardedPort {
        host: 18080,
        guest: 80,
        protocol: Protocol::Tcp,
    };
    insta::assert_snapshot!(text(&spec, Accelerator::Kvm, &[port]), @r"
    /usr/bin/qemu-system-x86_64
     -name guest=hello-1,debug-threads=on
     -nodefaults
     -no-user-config
     -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
     -machine pc
     -accel kvm
     -cpu host,+x2apic
     -smp 2
     -m 512M
     -action reboot=shutdown,panic=shutdown
     -device pvpanic
     -device virtio-rng-pci
     -kernel /library/kernels/osv/loader.elf
     -append
     --rootfs=rofs --env=A=b\ c /hello
     -blockdev driver=raw,node-name=disk0,read-only=on,discard=unmap,file.driver=file,file.filename=/library/builds/hello,, again.img
     -device virtio-blk-pci,id=blk0,drive=disk0,rerror=stop,werror=stop
     -netdev user,id=net0,hostfwd=tcp:127.0.0.1:18080-:80
     -device virtio-net-pci,netdev=net0,romfile=
     -chardev socket,id=qmp,server=on,wait=off,path=/run/user/1000/windlass/0/5db77b5d930c/qmp
     -mon chardev=qmp,mode=control
     -chardev socket,id=control,server=on,wait=off,path=/run/user/1000/windlass/0/5db77b5d930c/control
     -mon chardev=control,mode=control
     -chardev socket,id=serial,server=on,wait=off,path=/run/user/1000/windlass/0/5db77b5d930c/serial,logappend=on,logfile=/home/user/windlass/machines/hello-1/console.log
     -device isa-serial,chardev=serial
     -display none
     -device VGA
     -vnc unix:/run/user/1000/windlass/0/5db77b5d930c/vnc
    ");
}

#[test]
fn a_linux_guest_with_a_writable_root_under_tcg() {
    let mut spec = spec(GuestOs::Linux);
    spec.boot = Boot::Kernel {
        kernel: "/library/kernels/linux/vmlinuz".into(),
        initrd: Some("/library/kernels/linux/initramfs".into()),
        append: "windlass.hostname=hello".to_owned(),
        command_line: Some("/usr/bin/hello".to_owned()),
    };
    spec.disks[0].access = DiskAccess::Overlay;
    insta::assert_snapshot!(text(&spec, Accelerator::Tcg, &[]), @r"
    /usr/bin/qemu-system-x86_64
     -name guest=hello-1,debug-threads=on
     -nodefaults
     -no-user-config
     -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
     -machine pc
     -accel tcg,thread=multi
     -cpu max
     -smp 2
     -m 512M
     -action reboot=shutdown,panic=shutdown
     -device pvpanic
     -device virtio-rng-pci
     -kernel /library/kernels/linux/vmlinuz
     -initrd /home/user/windlass/machines/hello-1/initramfs
     -append console=ttyS0 quiet loglevel=4 panic=-1 cryptomgr.notests no_timer_check rdinit=/init windlass.network=off windlass.hostname=hello
     -blockdev driver=qcow2,node-name=disk0,read-only=off,discard=unmap,file.driver=file,file.filename=/home/user/windlass/machines/hello-1/disk0.qcow2
     -device virtio-blk-pci,id=blk0,drive=disk0,rerror=stop,werror=stop
     -chardev socket,id=qmp,server=on,wait=off,path=/run/user/1000/windlass/0/5db77b5d930c/qmp
     -mon chardev=qmp,mode=control
     -chardev socket,id=control,server=on,wait=off,path=/run/user/1000/windlass/0/5db77b5d930c/control
     -mon chardev=control,mode=control
     -chardev socket,id=serial,server=on,wait=off,path=/run/user/1000/windlass/0/5db77b5d930c/serial,logappend=on,logfile=/home/user/windlass/machines/hello-1/console.log
     -device isa-serial,chardev=serial
     -display none
    ");
}

#[test]
fn a_disk_with_its_own_boot_sector() {
    let mut spec = spec(GuestOs::Osv);
    spec.disks[0].access = DiskAccess::Writable;
    spec.disks[0].format = DiskFormat::Qcow2;
    insta::assert_snapshot!(text(&spec, Accelerator::Tcg, &[]), @r"
    /usr/bin/qemu-system-x86_64
     -name guest=hello-1,debug-threads=on
     -nodefaults
     -no-user-config
     -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
     -machine pc
     -accel tcg,thread=multi
     -cpu max
     -smp 2
     -m 512M
     -action reboot=shutdown,panic=shutdown
     -device pvpanic
     -device virtio-rng-pci
     -blockdev driver=qcow2,node-name=disk0,read-only=off,discard=unmap,file.driver=file,file.filename=/library/builds/hello,, again.img
     -device virtio-blk-pci,id=blk0,drive=disk0,rerror=stop,werror=stop,bootindex=0
     -chardev socket,id=qmp,server=on,wait=off,path=/run/user/1000/windlass/0/5db77b5d930c/qmp
     -mon chardev=qmp,mode=control
     -chardev socket,id=control,server=on,wait=off,path=/run/user/1000/windlass/0/5db77b5d930c/control
     -mon chardev=control,mode=control
     -chardev socket,id=serial,server=on,wait=off,path=/run/user/1000/windlass/0/5db77b5d930c/serial,logappend=on,logfile=/home/user/windlass/machines/hello-1/console.log
     -device isa-serial,chardev=serial
     -display none
    ");
}

#[test]
fn specs_that_cannot_be_are_refused_with_the_field() {
    let mut refusals = Vec::new();
    let mut refuse = |change: &dyn Fn(&mut MachineSpec)| {
        let mut spec = spec(GuestOs::Osv);
        change(&mut spec);
        refusals.push(spec.validate().unwrap_err().to_string());
    };
    refuse(&|spec| spec.id = "../up".to_owned());
    refuse(&|spec| spec.vcpus = 0);
    refuse(&|spec| spec.memory_mib = 8);
    refuse(&|spec| spec.disks.clear());
    refuse(&|spec| spec.disks[0].path = "relative.img".into());
    refuse(&|spec| {
        let port = crate::spec::Port {
            host: Some(80),
            guest: 80,
            protocol: Protocol::Tcp,
        };
        spec.network = Some(Network {
            ports: vec![port, port],
        });
    });
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    machine's id: "../up" is not 1 to 64 ASCII letters, digits, hyphens and underscores
    machine's vcpus: 0 is not between 1 and 255
    machine's memory: 8 MiB is less than 16 MiB
    machine's boot: there is no disk to boot from
    machine's disks: relative.img is not an absolute path
    machine's ports: 80/tcp is asked for twice
    "#);
}

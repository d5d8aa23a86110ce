//! Machines on networks of this computer: a bridge and a tap device, in a network namespace of the test's own.

use std::process::Command;

use crate::session::Session;

/// The words before a `windlassctl` here run in a network of their own, with a bridge `wl0` that gives addresses, its tap
/// device `wl1`, and a bridge `wl2` that QEMU's helper may not touch.
const STORY: &str = r#"
set -eu
# Settings of the system, as they are here alone.
mount -t tmpfs none "$PLACE"
mkdir "$PLACE/upper" "$PLACE/work"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$PLACE/upper,workdir=$PLACE/work" /etc
mkdir -p /etc/qemu
# It shows the devices of who mounts it.
mount -t sysfs none /sys
echo 'allow wl0' >/etc/qemu/bridge.conf

ip link set lo up
ip link add wl0 type bridge
ip address add 10.99.0.1/24 dev wl0
ip link set wl0 up
ip link add wl2 type bridge
ip tuntap add wl1 mode tap
ip link set wl1 master wl0 up
dnsmasq --keep-in-foreground --conf-file=/dev/null --port=0 --user=root --interface=wl0 --bind-interfaces \
  --dhcp-range=10.99.0.10,10.99.0.99,1h --dhcp-leasefile="$PLACE/leases" --pid-file= 2>"$PLACE/said" &
server=$!
trap 'kill $server' EXIT

windlassctl() { "$WINDLASSCTL" "$@"; }
windlassctl sample create hello
run() { windlassctl run hello --guest linux -e '/hello --sleep 250' -d "$@"; }
run --name on-bridge -n none --join bridge:wl0
run --name on-tap -n nat --join tap:wl1
for name in on-bridge on-tap; do
  for _ in $(seq 600); do
    windlassctl machine logs $name | grep -q 'address 10\.99\.0\.' && break
    sleep 0.2
  done
  windlassctl machine logs $name | grep -o 'eth.: address [0-9.]*'
done
# Both are wires of the bridge while their machines run, besides the bridge's own device.
ls /sys/class/net/wl0/brif | wc -l
windlassctl network ls --json
windlassctl machine kill on-bridge
windlassctl machine kill on-tap
echo "-- refused" >&2
run --name forbidden --join bridge:wl2 || true
run --name nowhere --join bridge:gone || true
run --name nobody --join tap:gone || true
"#;

#[test]
fn slow_machines_are_on_a_bridge_and_a_tap_device_of_this_computer() {
    let id = Command::new("id").arg("-u").output().unwrap();
    let is_root = String::from_utf8_lossy(&id.stdout).trim() == "0";
    let has_tools = std::path::Path::new("/usr/sbin/dnsmasq").exists();
    if !is_root || !has_tools || !std::path::Path::new("/dev/net/tun").exists() {
        eprintln!(
            "networks of this computer are not tried: that takes root, dnsmasq and /dev/net/tun"
        );
        return;
    }
    let session = Session::new();
    // The kernel is fetched where there is a network.
    session.done(&["kernel", "fetch"]);
    let place = session.folder().join("place");
    std::fs::create_dir(&place).unwrap();
    let output = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", STORY])
        .env("PLACE", &place)
        .env("WINDLASSCTL", env!("CARGO_BIN_EXE_windlassctl"))
        .env("WINDLASS_HOME", session.home())
        .env("NO_COLOR", "1")
        .current_dir(session.folder())
        .output()
        .unwrap();
    let (said, noted) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{said}\n{noted}");
    let addresses: Vec<_> = said
        .lines()
        .filter(|line| line.contains("address 10."))
        .collect();
    let [first, .., last] = addresses[..] else {
        panic!("{said}\n{noted}");
    };
    assert!(first.starts_with("eth0: address 10.99.0."), "{said}");
    // Beside the card that reaches the outside.
    assert!(
        last.starts_with("eth1: address 10.99.0."),
        "{said}\n{noted}"
    );
    assert!(said.lines().any(|line| line == "2"), "{said}");
    assert!(said.contains(r#""bridge:wl0""#), "{said}");
    let (_, refused) = noted.split_once("-- refused").unwrap();
    let refused: Vec<_> = refused
        .lines()
        .filter(|line| line.contains("error:") || line.contains("hint:"))
        .collect();
    insta::assert_snapshot!(refused.join("\n"));
}

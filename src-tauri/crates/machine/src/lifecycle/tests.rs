use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

const LINUX: Guest = Guest {
    has_network: true,
    hears: true,
};
const ALONE: Guest = Guest {
    has_network: false,
    hears: true,
};

fn ended(status: Option<i32>) -> Event {
    Event::Noticed(Notice::Ended { status })
}

fn panic() -> Event {
    Event::Noticed(Notice::Panic {
        message: "page fault".to_owned(),
    })
}

fn failed_to_load() -> Event {
    Event::Noticed(Notice::FailedToLoad {
        object: "/app".to_owned(),
        reason: None,
    })
}

fn exited(status: i32, signal: Option<i32>) -> Event {
    Event::Noticed(Notice::CommandExited {
        index: 1,
        total: 1,
        command: "/app".to_owned(),
        status,
        signal,
    })
}

fn shut_down(reason: &str) -> Event {
    Event::ShutDown {
        reason: reason.to_owned(),
    }
}

fn no_address() -> Event {
    Event::Noticed(Notice::NoAddress {
        interface: Some("eth0".to_owned()),
        reason: "no DHCP server answered".to_owned(),
    })
}

/// One step of a story.
#[derive(Clone, Debug)]
enum Step {
    Ask(Request),
    See(Event),
}
use Step::{Ask, See};

/// Plays steps on a machine that was just started and answers, and tells how it ended.
fn play(steps: Vec<Step>) -> String {
    let mut machine = Lifecycle::new(MachineState::Created, LINUX, None);
    machine.request(Request::Start).unwrap();
    machine.event(Event::Connected { running: true });
    for step in steps {
        match step {
            Ask(request) => {
                let _refused = machine.request(request);
            }
            See(event) => {
                machine.event(event);
            }
        }
    }
    let status = machine.verdict().and_then(|verdict| verdict.exit_status);
    let (message, remedy) = machine.words();
    let remedy = if remedy.is_some() { " (remedy)" } else { "" };
    format!(
        "{:?} {status:?} {}{remedy}",
        machine.state(),
        message.unwrap_or_default()
    )
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn how_a_run_is_judged() {
    let gone = || See(Event::Gone(Exit::Code(0)));
    let guest_off = || See(shut_down("guest-shutdown"));
    let table = [
        (
            "ends with 0",
            vec![See(ended(Some(0))), guest_off(), gone()],
        ),
        (
            "ends with 3",
            vec![See(ended(Some(3))), guest_off(), gone()],
        ),
        ("ends without a word", vec![guest_off(), gone()]),
        (
            "is killed inside for its memory",
            vec![
                See(exited(137, Some(9))),
                See(ended(Some(137))),
                guest_off(),
                gone(),
            ],
        ),
        (
            "cannot load its program",
            vec![See(failed_to_load()), guest_off(), gone()],
        ),
        (
            "gets no address",
            vec![See(no_address()), See(ended(Some(1))), guest_off(), gone()],
        ),
        (
            "panics and tells QEMU",
            vec![
                See(panic()),
                See(Event::Panicked),
                See(shut_down("guest-panic")),
                gone(),
            ],
        ),
        (
            "panics and resets",
            vec![See(panic()), See(shut_down("guest-reset")), gone()],
        ),
        (
            "panics and halts",
            vec![
                See(panic()),
                See(Event::Halted(true)),
                See(shut_down("host-qmp-quit")),
                gone(),
            ],
        ),
        (
            "prints a panic's words and ends well",
            vec![See(panic()), See(ended(Some(0))), guest_off(), gone()],
        ),
        (
            "resets without a word",
            vec![See(shut_down("guest-reset")), gone()],
        ),
        (
            "stops when asked",
            vec![
                Ask(Request::Stop),
                See(exited(143, Some(15))),
                See(ended(Some(143))),
                guest_off(),
                gone(),
            ],
        ),
        (
            "is an OSv that stops when asked",
            vec![
                Ask(Request::Stop),
                See(Event::PowerButton),
                guest_off(),
                gone(),
            ],
        ),
        (
            "does not stop when asked",
            vec![
                Ask(Request::Stop),
                See(Event::TimeUp(Timer::Guest)),
                See(Event::TimeUp(Timer::Power)),
                See(shut_down("host-qmp-quit")),
                gone(),
            ],
        ),
        (
            "ends by itself, and whose QEMU does not",
            vec![
                See(ended(Some(3))),
                guest_off(),
                See(Event::TimeUp(Timer::Quit)),
                See(Event::Gone(Exit::Signal(9))),
            ],
        ),
        (
            "is switched off",
            vec![Ask(Request::Kill), See(shut_down("host-qmp-quit")), gone()],
        ),
        (
            "is switched off elsewhere",
            vec![See(shut_down("host-qmp-quit")), gone()],
        ),
        (
            "goes with a shutdown of the computer",
            vec![See(shut_down("host-signal")), gone()],
        ),
        (
            "loses its QEMU to a signal",
            vec![See(Event::Gone(Exit::Signal(9)))],
        ),
        (
            "loses its QEMU while taken over",
            vec![See(Event::Gone(Exit::Unseen))],
        ),
        ("is found gone", vec![See(Event::Gone(Exit::Unknown))]),
        (
            "is found gone after its last word",
            vec![See(ended(Some(0))), See(Event::Gone(Exit::Unknown))],
        ),
    ];
    let mut story = String::new();
    for (what, steps) in table {
        let _ = writeln!(story, "a guest that {what}: {}", play(steps));
    }
    insta::assert_snapshot!(story, @r"
    a guest that ends with 0: Stopped Some(0) 
    a guest that ends with 3: Failed Some(3) It ended with status 3.
    a guest that ends without a word: Stopped None 
    a guest that is killed inside for its memory: Failed Some(137) Command 1 of 1, /app, was ended by a kill (signal 9). (remedy)
    a guest that cannot load its program: Failed None /app could not be started. (remedy)
    a guest that gets no address: Failed Some(1) eth0 got no address: no DHCP server answered. (remedy)
    a guest that panics and tells QEMU: Crashed None The guest crashed: page fault. (remedy)
    a guest that panics and resets: Crashed None The guest crashed: page fault. (remedy)
    a guest that panics and halts: Crashed None The guest crashed: page fault. (remedy)
    a guest that prints a panic's words and ends well: Stopped Some(0) 
    a guest that resets without a word: Crashed None The guest reset itself, as it does after a fault. (remedy)
    a guest that stops when asked: Stopped Some(143) It stopped when asked.
    a guest that is an OSv that stops when asked: Stopped None It stopped when asked.
    a guest that does not stop when asked: Stopped None It did not stop by itself in time, and was switched off.
    a guest that ends by itself, and whose QEMU does not: Failed Some(3) It ended with status 3.
    a guest that is switched off: Stopped None It was switched off.
    a guest that is switched off elsewhere: Stopped None It was switched off.
    a guest that goes with a shutdown of the computer: Stopped None It was ended from outside (say, because this computer was shut down).
    a guest that loses its QEMU to a signal: Crashed None QEMU was ended from outside, by signal 9. (remedy)
    a guest that loses its QEMU while taken over: Crashed None QEMU ended unexpectedly.
    a guest that is found gone: Lost None It ended while nobody was looking. (remedy)
    a guest that is found gone after its last word: Stopped Some(0)
    ");
}

#[test]
fn stop_goes_from_asking_to_quitting_to_killing() {
    let mut machine = Lifecycle::new(MachineState::Created, ALONE, None);
    let mut story = String::new();
    let mut tell = |what: &str, machine: &Lifecycle, actions: Vec<Action>| {
        let words = machine.words().0.unwrap_or_default();
        let _ = writeln!(story, "{what}: {:?} {actions:?} {words}", machine.state());
    };
    let actions = machine.request(Request::Start).unwrap();
    tell("start", &machine, actions);
    let actions = machine.event(Event::Connected { running: true });
    tell("QEMU answers", &machine, actions);
    let actions = machine.request(Request::Pause).unwrap();
    tell("pause", &machine, actions);
    let actions = machine.event(Event::Paused);
    tell("STOP", &machine, actions);
    let actions = machine.request(Request::Stop).unwrap();
    tell("stop", &machine, actions);
    for timer in [Timer::Guest, Timer::Power, Timer::Quit, Timer::Kill] {
        let actions = machine.event(Event::TimeUp(timer));
        tell(&format!("time is up for {timer:?}"), &machine, actions);
    }
    let _ = machine.event(Event::Gone(Exit::Signal(9)));
    tell("its process is gone", &machine, Vec::new());
    insta::assert_snapshot!(story, @r"
    start: Starting [Launch, Arm(Connect)] 
    QEMU answers: Running [Disarm(Connect)] 
    pause: Running [Pause] 
    STOP: Paused [] 
    stop: Stopping [Resume, AskGuest, Arm(Guest)] The guest was asked to stop.
    time is up for Guest: Stopping [PressPower, Arm(Power)] The guest's power button was pressed.
    time is up for Power: Stopping [Disarm(Guest), Disarm(Power), Quit, Arm(Quit)] The guest did not stop by itself in time; its power is being cut.
    time is up for Quit: Stopping [Disarm(Connect), Disarm(Guest), Disarm(Power), Disarm(Quit), KillProcess, Arm(Kill)] QEMU's process is being killed.
    time is up for Kill: Stopping [] QEMU's process does not go away, not even killed.
    its process is gone: Stopped [] It did not stop by itself in time, and was switched off.
    ");
}

/// Takes a machine over that was left in `state`, and finds its QEMU gone after the guest said `status`.
fn taken_over(state: MachineState, wish: Option<Wish>, status: i32) -> String {
    let mut machine = Lifecycle::new(state, ALONE, wish);
    let _done_then = machine.event(ended(Some(status)));
    let _gone = machine.event(Event::Gone(Exit::Unknown));
    let message = machine.words().0.unwrap_or_default();
    format!("{:?} {message}", machine.state())
}

#[test]
fn whoever_takes_over_judges_by_what_was_wanted() {
    use MachineState::{Running, Stopping};
    let mut story = String::new();
    for (state, wish) in [
        (Running, None),
        (Stopping, None),
        (Stopping, Some(Wish::Stop)),
        (Stopping, Some(Wish::Kill)),
    ] {
        let _ = writeln!(
            story,
            "{state:?}, {wish:?}: {}",
            taken_over(state, wish, 143)
        );
    }
    insta::assert_snapshot!(story, @r"
    Running, None: Failed It ended with status 143.
    Stopping, None: Failed It ended with status 143.
    Stopping, Some(Stop): Stopped It stopped when asked.
    Stopping, Some(Kill): Stopped It was switched off.
    ");
}

fn any_step() -> impl Strategy<Value = Step> {
    let request = prop_oneof![
        Just(Request::Start),
        Just(Request::Pause),
        Just(Request::Resume),
        Just(Request::Stop),
        Just(Request::Kill),
    ];
    let timer = prop_oneof![
        Just(Timer::Connect),
        Just(Timer::Guest),
        Just(Timer::Power),
        Just(Timer::Quit),
        Just(Timer::Kill),
        Just(Timer::Address),
        Just(Timer::Halt),
    ];
    let exit = prop_oneof![
        Just(Exit::Unknown),
        Just(Exit::Unseen),
        any::<i32>().prop_map(Exit::Code),
        (1..64).prop_map(Exit::Signal),
        Just(Exit::NotStarted {
            message: "no".to_owned(),
            remedy: None
        }),
    ];
    let reason = prop_oneof![
        Just("guest-shutdown"),
        Just("guest-reset"),
        Just("guest-panic"),
        Just("host-qmp-quit"),
        Just("host-signal"),
        Just("something-new"),
    ];
    let event = prop_oneof![
        any::<bool>().prop_map(|running| Event::Connected { running }),
        Just(Event::Unreachable),
        Just(Event::Paused),
        Just(Event::Resumed),
        Just(Event::PowerButton),
        Just(Event::Panicked),
        Just(panic()),
        Just(failed_to_load()),
        Just(no_address()),
        any::<Option<i32>>().prop_map(ended),
        reason.prop_map(shut_down),
        any::<bool>().prop_map(Event::Halted),
        timer.prop_map(Event::TimeUp),
        exit.prop_map(Event::Gone),
    ];
    prop_oneof![2 => request.prop_map(Ask), 5 => event.prop_map(See)]
}

proptest! {
    /// Whatever happens in whatever order, the state is a true one.
    #[test]
    fn any_order_of_requests_and_events_ends_in_a_true_state(
        steps in prop::collection::vec(any_step(), 0..60),
    ) {
        let mut machine = Lifecycle::new(MachineState::Created, LINUX, None);
        for step in steps {
            let before = machine.clone();
            match step {
                Ask(request) => match machine.request(request) {
                    Err(state) => {
                        prop_assert_eq!(state, before.state());
                        prop_assert_eq!(machine.state(), before.state());
                    }
                    Ok(actions) => {
                        prop_assert!(before.state().is_live() || request == Request::Start);
                        prop_assert!(machine.state().is_live());
                        prop_assert_eq!(actions.contains(&Action::Launch), request == Request::Start);
                        if request == Request::Kill {
                            prop_assert!(actions.contains(&Action::Quit) || actions.contains(&Action::KillProcess));
                        }
                    }
                },
                See(event) => {
                    let gone = matches!(event, Event::Gone(_));
                    let actions = machine.event(event);
                    prop_assert!(!actions.contains(&Action::Launch), "only a request starts");
                    if before.state().is_live() {
                        prop_assert_eq!(machine.state().is_live(), !gone, "live as long as its process");
                    } else {
                        prop_assert!(actions.is_empty());
                        prop_assert_eq!(machine.state(), before.state(), "what has ended has ended");
                    }
                }
            }
            prop_assert_eq!(machine.verdict().is_some(), !machine.state().is_live() && machine.state() != MachineState::Created);
            if machine.state() == MachineState::Failed || machine.state() == MachineState::Crashed {
                prop_assert!(machine.words().0.is_some_and(|message| !message.is_empty()), "says why");
            }
        }
    }

    /// From any live state, a stop whose timers run out one after the other comes to the killing of the process.
    #[test]
    fn a_stop_always_comes_to_an_end(steps in prop::collection::vec(any_step(), 0..40)) {
        let mut machine = Lifecycle::new(MachineState::Created, LINUX, None);
        for step in steps {
            match step {
                Ask(request) => { let _refused = machine.request(request); }
                See(event) => { machine.event(event); }
            }
        }
        if let Ok(mut actions) = machine.request(Request::Stop) {
            for timer in [Timer::Guest, Timer::Quit] {
                actions.extend(machine.event(Event::TimeUp(timer)));
            }
            prop_assert!(actions.contains(&Action::KillProcess));
        }
    }
}

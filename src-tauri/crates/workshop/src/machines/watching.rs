//! Telling the window of what machines do.

use std::sync::Arc;

use windlass_machine::MachineHandle;

use super::{is_live, labels, shown};
use crate::Workshop;
use crate::events::Event;

impl Workshop {
    /// Tells listeners of every machine's changes, as long as the workshop lives.
    pub(crate) fn watch_machines(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        let mut ids = self.machines.watch();
        tokio::spawn(async move {
            let mut watched = std::collections::HashSet::<String>::new();
            loop {
                let present = ids.borrow_and_update().clone();
                let Some(workshop) = weak.upgrade() else {
                    return;
                };
                for id in &present {
                    if watched.insert(id.clone())
                        && let Ok(handle) = workshop.machines.get(id)
                    {
                        tokio::spawn(tell(Arc::downgrade(&workshop), handle));
                    }
                }
                for gone in watched
                    .extract_if(|id| !present.contains(id))
                    .collect::<Vec<_>>()
                {
                    workshop.events.send(Event::MachineGone(gone));
                    workshop.tell_appliances();
                }
                drop(workshop);
                if ids.changed().await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Tells listeners of one machine's changes until it is gone.
async fn tell(weak: std::sync::Weak<Workshop>, handle: MachineHandle) {
    let mut status = handle.status();
    let mut was_live = false;
    loop {
        status.borrow_and_update();
        let Some(workshop) = weak.upgrade() else {
            return;
        };
        workshop
            .events
            .send(Event::MachineChanged(Box::new(shown(&handle))));
        if is_live(&handle) != was_live {
            was_live = !was_live;
            if let Some(appliance) = labels(&handle).appliance_id {
                workshop.tell_appliance(&appliance);
            }
        }
        drop(workshop);
        tokio::select! {
            changed = status.changed() => if changed.is_err() {
                return;
            },
            () = handle.gone() => return,
        }
    }
}

//! What changed, as it changes: the window's stores and `windlassctl --follow` listen to this.

use tokio::sync::broadcast;

use crate::appliances::Appliance;
use crate::jobs::Job;
use crate::machines::Machine;
use crate::settings::Settings;

/// One change.
#[derive(Debug, Clone)]
pub enum Event {
    /// An appliance appeared, or something shown of it changed.
    ApplianceChanged(Box<Appliance>),
    /// An appliance was forgotten.
    ApplianceGone(String),
    /// A machine appeared, or its state changed.
    MachineChanged(Box<Machine>),
    /// A machine was deleted.
    MachineGone(String),
    /// A job started, moved on, or ended.
    JobChanged(Box<Job>),
    /// The packages of the library changed.
    LibraryChanged,
    /// A registry appeared, changed, or was asked anew.
    RegistriesChanged,
    /// The library's guest kernels changed.
    KernelsChanged,
    /// The images that came from elsewhere changed.
    ImagesChanged,
    /// A cloud appeared, changed, or was tried.
    CloudsChanged,
    /// The volumes changed, or which machines have them.
    VolumesChanged,
    /// The settings changed.
    SettingsChanged(Settings),
}

/// Hands every event to everyone who listens. A listener that falls far behind misses events and
/// is told so by the channel; it then reads the lists anew.
#[derive(Debug, Clone)]
pub struct Events {
    sender: broadcast::Sender<Event>,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self {
            sender: broadcast::channel(1024).0,
        }
    }

    pub(crate) fn send(&self, event: Event) {
        // Without listeners there is nobody to tell, which is no failure.
        let _ = self.sender.send(event);
    }

    /// Listens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.sender.subscribe()
    }
}

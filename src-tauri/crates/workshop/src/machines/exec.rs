//! A program beside the commands of a guest that runs.
//!
//! A Linux guest starts it through its agent, where the machine was started so that it may be changed.
//! An OSv guest is refused for now; its REST API could start a program, but passes on neither output nor status.

use tokio::io::{AsyncRead, AsyncWrite};
use windlass_guest::GuestOs;

use super::push::may_be_changed;
use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};

impl Workshop {
    /// Runs a program in a guest that runs; carries what it reads and writes, and gives its exit status. It ends
    /// when this is dropped.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the machine does not run, may not be changed, or is OSv.
    pub async fn machine_exec(
        &self,
        machine: &str,
        words: &[String],
        stdin: &mut (impl AsyncRead + Unpin),
        stdout: &mut (impl AsyncWrite + Unpin),
        stderr: &mut (impl AsyncWrite + Unpin),
    ) -> Result<i32> {
        let handle = self.machine_handle(machine)?;
        if handle.spec().guest == GuestOs::Osv {
            let message = "Programs can be run in Linux guests only";
            return Err(AppError::new(ErrorKind::Conflict, message)
                .hinted("On OSv, add it to the boot command, such as `/first & /second`")
                .hinted("Or run the appliance on Linux"));
        }
        may_be_changed(&handle)?;
        let mut agent = handle.agent().await?;
        Ok(agent.run(words, stdin, stdout, stderr).await?)
    }
}

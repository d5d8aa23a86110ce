//! Trying a cloud, step by step.

use windlass_cloud::check::{Step, check};

use super::{CloudCheck, CloudCheckStep, store};
use crate::Workshop;
use crate::error::{AppError, Result};
use crate::events::Event;

impl CloudCheckStep {
    fn of(step: Step) -> Self {
        let (ok, said, hint) = match step.outcome {
            Ok(said) => (true, said, None),
            Err(error) => {
                let hint = error.hint();
                let error = AppError::from(error);
                let said: Vec<_> = std::iter::once(error.message).chain(error.chain).collect();
                (false, said.join(": "), hint)
            }
        };
        Self {
            what: step.what,
            ok,
            said,
            hint,
        }
    }
}

impl Workshop {
    /// Tries a cloud: the way to it, the login, each service, the quotas.
    ///
    /// # Errors
    /// `NotFound`; when the secret store is locked. What is wrong with the cloud is the answer, and no error.
    pub async fn check_cloud(&self, id: u32) -> Result<CloudCheck> {
        let record = store::get(&self.database, id)?;
        let secrets = self.cloud_secrets(&record).await?;
        let steps = check(&record.profile, &secrets, |_| ()).await;
        let steps: Vec<_> = steps.into_iter().map(CloudCheckStep::of).collect();
        let wrong = steps.iter().find(|it| !it.ok);
        store::checked(&self.database, id, wrong.map(|it| it.said.as_str()))?;
        self.events.send(Event::CloudsChanged);
        Ok(CloudCheck {
            ok: wrong.is_none(),
            steps,
        })
    }
}

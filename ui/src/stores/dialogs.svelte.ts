/** Questions and errors that any part of the window may raise. */
import { toAppError, type AppError } from "../backend";

export interface Question {
  title: string;
  body: string;
  action: string;
  answer: (yes: boolean) => void;
}

class Dialogs {
  question = $state.raw<Question | null>(null);
  failure = $state.raw<{ title: string; error: AppError } | null>(null);

  /** Asks once, naming what will be lost. */
  confirm(title: string, body: string, action: string): Promise<boolean> {
    return new Promise((resolve) => {
      this.question = {
        title,
        body,
        action,
        answer: (yes) => {
          this.question = null;
          resolve(yes);
        },
      };
    });
  }

  /** Shows an error that has no place of its own on a screen. Cancelling is not one. */
  fail(title: string, thrown: unknown): void {
    const error = toAppError(thrown);
    if (error.kind !== "cancelled") this.failure = { title, error };
  }

  /** Runs an action and shows what went wrong, if anything; says whether it went well. */
  async attempt(title: string, action: () => Promise<unknown>): Promise<boolean> {
    try {
      await action();
      return true;
    } catch (thrown) {
      this.fail(title, thrown);
      return false;
    }
  }
}

export const dialogs = new Dialogs();

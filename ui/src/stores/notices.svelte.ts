/** Notifications of the desktop: long work that ended while nobody looked. */
import { backend, on, type Job, type Settings } from "../backend";
import { formatDuration } from "../format";
import { m } from "../messages/messages.js";
import { settings } from "./settings.svelte";

/** What is over sooner was waited for. */
const LONG_MS = 10_000;

export interface Notice {
  title: string;
  body: string;
}

/** What the desktop is to tell of a job, if anything. What the user cancelled is no news. */
export function noticeOf(
  job: Job,
  { notifications }: Pick<Settings, "notifications">,
): Notice | null {
  if (!notifications || job.endedAt === null) return null;
  if (job.state !== "done" && job.state !== "failed") return null;
  const took = Date.parse(job.endedAt) - Date.parse(job.startedAt);
  if (took < LONG_MS) return null;
  const body =
    job.state === "failed"
      ? m.notice_failed({ message: job.error?.message ?? "" })
      : m.notice_done({ time: formatDuration(took) });
  return { title: job.title, body };
}

class Notices {
  /** Tells of jobs from now on; those that are only listed again ended before. */
  listen(): () => void {
    const live = new Set<string>();
    return on("jobChanged", (job) => {
      if (job.endedAt === null) {
        live.add(job.id);
        return;
      }
      const notice = live.delete(job.id) ? noticeOf(job, settings.value) : null;
      // A desktop without notifications is no reason for another message.
      if (notice) void backend.notify(notice.title, notice.body).catch(() => undefined);
    });
  }
}

export const notices = new Notices();

/** The present, as relative times see it; it moves on by itself. */
class Clock {
  now = $state(Date.now());

  start(): () => void {
    const timer = setInterval(() => (this.now = Date.now()), 5000);
    return () => clearInterval(timer);
  }
}

export const clock = new Clock();

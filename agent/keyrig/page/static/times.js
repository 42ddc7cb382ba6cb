/* Instants as people read them: by the server's clock, in local time and in UTC. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The server's clock, as far as its answers tell; a handheld's own may be wrong by days. */
export class ServerClock {
  #offset = 0;

  /** Take the instant at which an answer was made. */
  sync(iso) {
    const at = Date.parse(iso);
    if (!Number.isNaN(at)) this.#offset = at - Date.now();
  }

  /** Give the present instant in milliseconds since 1970. */
  now() {
    return Date.now() + this.#offset;
  }
}

/** Write an instant as UTC, to the minute. */
export function utcText(iso) {
  const at = new Date(iso);
  return `${at.toISOString().slice(0, 10)} ${at.toISOString().slice(11, 16)} UTC`;
}

/** Write an instant in the time zone of whoever reads it, to the minute. */
export function localText(iso, timeZone) {
  const parts = new Intl.DateTimeFormat("en-GB", {
    weekday: "short",
    day: "numeric",
    month: "short",
    year: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
    timeZone,
  }).formatToParts(new Date(iso));
  const part = (type) => parts.find((each) => each.type === type)?.value ?? "";
  const day = `${part("weekday")} ${part("day")} ${part("month")} ${part("year")}`;
  return `${day}, ${part("hour")}:${part("minute")} local`;
}

/** Write the time of an instant in the time zone of whoever reads it, to the second. */
export function clockText(iso) {
  return new Date(iso).toLocaleTimeString("en-GB", { hourCycle: "h23" });
}

/** Say how far away a deadline is, or how long it has passed; never more than there is. */
export function untilText(iso, now) {
  const left = Date.parse(iso) - now;
  return left >= 0 ? `in ${spanText(left)}` : `${spanText(-left)} overdue`;
}

/** Say how long ago something was. */
export function agoText(iso, now) {
  return `${spanText(Math.max(now - Date.parse(iso), 0))} ago`;
}

/** Write a span of milliseconds in its largest sensible unit. */
export function spanText(span) {
  if (span < MINUTE) return "less than a minute";
  if (span < 90 * MINUTE) return count(Math.floor(span / MINUTE), "minute");
  if (span < 2 * DAY) return count(Math.floor(span / HOUR), "hour");
  return count(Math.floor(span / DAY), "day");
}

/** Write a short span in seconds, or in minutes and seconds. */
export function secondsText(span) {
  const seconds = Math.max(Math.floor(span / 1000), 0);
  if (seconds < 60) return `${seconds} s`;
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** Count things in words, such as "1 duty" or "3 duties". */
export function count(number, noun) {
  if (number === 1) return `1 ${noun}`;
  return `${number} ${noun.endsWith("y") && !/[aeiou]y$/.test(noun) ? `${noun.slice(0, -1)}ies` : `${noun}s`}`;
}

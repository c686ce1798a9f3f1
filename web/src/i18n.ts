// The texts of the page in its language; and numbers, sizes and dates in the form of that language.
import { language, locale } from "./language";
import { en } from "./words/en";
import type { Words } from "./words/en";
import { es } from "./words/es";

const LANGUAGES: Record<typeof language, Words> = { en, es };

const words = LANGUAGES[language];
const plural = new Intl.PluralRules(locale);
const numbers = new Intl.NumberFormat(locale);
const decimals = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });
const dates = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });

type Values = Record<string, string | number>;

/** The text of that name with the values inserted. The number `n` chooses between singular and plural. */
export function t(name: keyof Words, values: Values = {}): string {
  const forms = words[name].split("|");
  const form = typeof values["n"] === "number" && plural.select(values["n"]) !== "one" ? forms.at(-1) : forms[0];
  return (form ?? "").replace(/\{(\w+)\}/g, (_, key: string) => {
    const value = values[key];
    return typeof value === "number" ? number(value) : (value ?? "");
  });
}

export function number(value: number): string {
  return numbers.format(value);
}

export function decimal(value: number): string {
  return decimals.format(value);
}

// Making a formatter takes longer than using it a hundred times.
const [whole, tenths] = [0, 1].map((digits) => new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits })) as [
  Intl.NumberFormat,
  Intl.NumberFormat,
];
const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** A number of bytes in the largest suitable decimal unit. */
export function bytes(count: number): string {
  let unit = 0;
  while (count >= 999.5 && unit < UNITS.length - 1) {
    count /= 1000;
    unit += 1;
  }
  const written = unit > 0 && count < 9.95 ? tenths : whole;
  return `${written.format(count)} ${UNITS[unit]}`;
}

/** A number of seconds as a rounded duration in seconds, minutes or hours. */
export function duration(seconds: number): string {
  if (seconds < 60) return t("seconds", { n: Math.max(1, Math.round(seconds)) });
  if (seconds < 5_400) return t("minutes", { n: Math.round(seconds / 60) });
  return t("hours", { n: Math.round(seconds / 3600) });
}

/** A number of seconds that is meant exactly: in days if they are more than two. */
export function period(seconds: number): string {
  return seconds > 172_800 && seconds % 86_400 === 0 ? t("days", { n: seconds / 86_400 }) : duration(seconds);
}

export function date(value: Date): string {
  return dates.format(value);
}

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 31_557_600],
  ["month", 2_629_800],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** How long ago a time was, in words. */
export function ago(value: Date): string {
  const seconds = (value.getTime() - Date.now()) / 1000;
  for (const [unit, length] of STEPS) if (seconds <= -length) return relative.format(Math.round(seconds / length), unit);
  return relative.format(Math.min(0, Math.round(seconds)), "second");
}

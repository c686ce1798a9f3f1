// The page's language: the first of the browser's languages that the page has, or else English.
const LANGUAGES = ["en", "es"] as const;

type Language = (typeof LANGUAGES)[number];

const known = (tag: string) => LANGUAGES.find((one) => one === tag.slice(0, 2).toLowerCase());

export const language: Language = navigator.languages.map(known).find((found) => found !== undefined) ?? "en";
/** The language with its region, if the browser names one. It decides how numbers and dates are written. */
export const locale = navigator.languages.find((tag) => known(tag) === language) ?? language;

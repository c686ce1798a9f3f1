// The names of files, as they are sent.

/** The largest name that the server takes, in bytes of UTF-8. */
const MAX_NAME_BYTES = 255;

const utf8 = new TextEncoder();

/** The name of a file in the form that the server takes: composed characters, no control characters and no lone
 *  surrogates, not too long. The extension is kept. */
export function fileName(given: string): string {
  const name = given.normalize("NFC").replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, " ").replace(/\p{Cs}/gu, "\uFFFD").trim();
  if (utf8.encode(name).length <= MAX_NAME_BYTES) return name;
  const dot = name.lastIndexOf(".");
  const [stem, end] = dot > 0 && name.length - dot <= 16 ? [name.slice(0, dot), name.slice(dot)] : [name, ""];
  const characters = [...stem];
  while (utf8.encode(characters.join("") + end).length > MAX_NAME_BYTES) characters.pop();
  return characters.join("") + end;
}

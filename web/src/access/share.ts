// A link to one image, for somebody who has no token.
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Image } from "#gen/conexiones/v1/images_pb";
import { Rendition_Format } from "#gen/conexiones/v1/images_pb";

import { needsSignIn, problem } from "../calls";
import { button, h, say } from "../dom";
import { date, t } from "../i18n";
import { images } from "../rpc";
import { copy } from "../toast";

const HOUR = 3_600;
/** How long a link may work, in seconds. */
const TIMES = [HOUR, 24 * HOUR, 7 * 24 * HOUR];
/** Widths of the renditions to choose from, in pixels. They are JPEG, which all programs show. */
const WIDTHS = [640, 1280, 1920, 3840];

/** `signs`: the images are only for those who have a credential, so that a link has to be signed, and ends. */
export function share(image: Image, signs: boolean): HTMLElement {
  const what = h("select", { "aria-label": t("rendition") }, h("option", { value: 0 }, t("original")));
  if (!image.facts?.problem) {
    for (const width of WIDTHS.filter((width) => width < image.width)) what.append(h("option", { value: width }, `${t("pixels", { n: width })} JPEG`));
  }
  const long = h("select", { "aria-label": t("linkTime") });
  for (const seconds of TIMES) long.append(h("option", { value: seconds }, seconds > 24 * HOUR ? t("days", { n: seconds / 24 / HOUR }) : t("hours", { n: seconds / HOUR })));
  const link = h("input", { readonly: true, class: "link", "aria-label": t("link"), hidden: true, onfocus: () => link.select() });
  const said = h("p", { class: "hint", role: "status" });
  const made = async (): Promise<{ path: string; until?: Date }> => {
    const width = Number(what.value);
    if (!signs) return { path: `/images/${image.id}${width ? `?width=${width}&format=jpeg` : ""}` };
    const rendition = width ? { width, format: Rendition_Format.JPEG } : undefined;
    const reply = await images.signImageUrl({ id: image.id, ...(rendition && { rendition }), ttl: { seconds: BigInt(long.value) } });
    return { path: reply.path, ...(reply.expireTime && { until: timestampDate(reply.expireTime) }) };
  };
  const pressed = async () => {
    try {
      const { path, until } = await made();
      link.value = location.origin + path;
      link.hidden = false;
      await copy(link.value);
      say(said, until ? t("linkCopied", { when: date(until) }) : t("copied"));
    } catch (error) {
      const found = problem(error);
      if (!needsSignIn(found) || found.reason === "SCOPE_MISSING") say(said, found.message);
    }
  };
  const act = button("link", t("copyLink"), () => void pressed(), { shown: true });
  for (const select of [what, long]) select.addEventListener("change", () => ((link.hidden = true), say(said, "")));
  return h("section", { class: "share" }, h("h3", null, t("link")), h("div", { class: "row" }, what, signs && long, act), link, said);
}

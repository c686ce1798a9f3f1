// The panel "Try the service": two of the tutorial's calls with request, reply and wire, and the state of the server.
import { toJson } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";

import type { GetStatusResponse, Verification } from "#gen/conexiones/v1/status_pb";
import { GetUserReplySchema, GetUserRequestSchema } from "#gen/user_pb";

import { problem } from "./calls";
import { button, h, say } from "./dom";
import type { Child } from "./dom";
import { ago, bytes, date, number, period, t } from "./i18n";
import { health, status, uploads, usuarioBy } from "./rpc";
import { Wire } from "./wire";

const REFRESH_MS = 4_000;
const METHODS = ["GetUser", "ProcessImage"] as const;
type Method = (typeof METHODS)[number];
const CONTENT_TYPES = { "gRPC-Web": "application/grpc-web+proto", Connect: "application/json" } as const;
type Protocol = keyof typeof CONTENT_TYPES;
const PROTOCOLS = Object.keys(CONTENT_TYPES) as Protocol[];

export class Try {
  readonly element: HTMLDialogElement;
  readonly #state = h("dl", { class: "facts" });
  readonly #health = h("span", { class: "health" });
  #method: Method = "GetUser";
  #protocol: Protocol = "gRPC-Web";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #limits: HTMLElement[] = [];

  constructor(close: () => void) {
    this.element = h(
      "dialog",
      { class: "try", "aria-labelledby": "try-title" },
      h("div", { class: "head" }, h("h2", { id: "try-title" }, t("tryIt")), button("close", t("close"), close)),
      h(
        "div",
        { class: "columns" },
        h("section", { "data-needs": "write" }, h("p", { class: "intro" }, t("tryIntro")), ...this.#form()),
        h("section", { class: "server" }, h("h3", null, t("server")), this.#state),
      ),
    );
    this.element.addEventListener("cancel", (event) => {
      event.preventDefault();
      close();
    });
  }

  open(): void {
    if (!this.element.open) this.element.showModal();
    void this.#refresh();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.element.close();
  }

  #form(): Child[] {
    const name = h("input", { name: "name", autocomplete: "off", value: "Ada" });
    const pow = h("input", { name: "pow", type: "number", min: -(2 ** 31), max: 2 ** 31 - 1, step: 1, value: 12 });
    const image = h("input", { name: "image", type: "file", accept: "image/*" });
    const optional = h("span", { class: "hint" }, t("optional"));
    const asked = h("pre", { role: "group", tabindex: 0, "data-try": "request", "aria-label": t("request") });
    const answered = h("pre", { role: "group", tabindex: 0, "data-try": "answer", "aria-label": t("answer"), "aria-live": "polite" });
    const onWire = h("pre", { role: "group", tabindex: 0, "data-try": "wire", "aria-label": t("onWire") });
    const took = h("span", { class: "hint" });
    const methods = tabs(METHODS, (method) => {
      this.#method = method;
      optional.hidden = method === "ProcessImage";
      show();
    });
    const protocols = tabs(PROTOCOLS, (protocol) => {
      this.#protocol = protocol;
      show();
    });
    const given = () => ({ name: name.value, pow: Math.trunc(Number(pow.value)) || 0 });
    const show = () => {
      const [file] = image.files ?? [];
      const request = { ...given(), image: file ? `… ${number(file.size)} B: ${file.name}` : "" };
      say(asked, `POST /user.UsuarioServicio/${this.#method}\ncontent-type: ${CONTENT_TYPES[this.#protocol]}\n\n${JSON.stringify(request, null, 2)}`);
    };
    const send = async () => {
      show();
      answered.removeAttribute("data-code");
      say(answered, "…");
      const [file] = image.files ?? [];
      const start = performance.now();
      const wire = new Wire();
      const usuario = usuarioBy(this.#protocol, wire.fetch);
      let text: string;
      let code = "OK";
      try {
        const request = { ...given(), ...(file && { image: new Uint8Array(await file.arrayBuffer()) }) };
        const reply = await (this.#method === "GetUser" ? usuario.getUser(request) : usuario.processImage(request));
        text = JSON.stringify(toJson(GetUserReplySchema, reply), null, 2);
      } catch (error) {
        const found = problem(error);
        code = found.reason || Code[found.code] || "UNKNOWN";
        const about = found.callId && `\n${t("callId", { id: found.callId })}`;
        text = `${t("refused", { reason: code })}\n${found.message}${about}`;
      }
      say(took, t("took", { n: Math.round(performance.now() - start) }));
      say(answered, text);
      say(onWire, wire.lines(GetUserRequestSchema, GetUserReplySchema).join("\n"));
      answered.dataset["code"] = code;
      void this.#refresh();
    };
    const form = h(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          void send();
        },
        oninput: show,
      },
      h("div", { class: "row", role: "group" }, ...methods.tabs),
      h("div", { class: "row", role: "group", "aria-label": t("protocol") }, ...protocols.tabs),
      h("label", null, t("name"), name),
      h("label", null, t("pow"), pow),
      h("label", null, h("span", null, t("picture"), " ", optional), image),
      h("div", { class: "row" }, h("button", { class: "button primary" }, t("send")), took),
    );
    methods.choose("GetUser");
    protocols.choose("gRPC-Web");
    const shown: [string, HTMLElement][] = [
      [t("request"), asked],
      [t("answer"), answered],
      [t("onWire"), onWire],
    ];
    return [form, ...shown.flatMap(([title, text]) => [h("h3", null, title), text]), h("p", { class: "hint" }, t("onWireHint"))];
  }

  async #refresh(): Promise<void> {
    clearTimeout(this.#timer);
    const [found, held] = await Promise.all([health(), status.getStatus({}).catch(() => undefined)]);
    if (this.#limits.length === 0) this.#limits = await limits().catch(() => []);
    const words = { SERVING: t("serving"), NOT_SERVING: t("draining"), none: t("unknown") };
    say(this.#health, words[found ?? "none"]);
    this.#health.dataset["health"] = found ?? "none";
    const rows: Child[] = [h("dt", null, t("health")), h("dd", null, this.#health)];
    if (held) {
      const since = held.startTime ? timestampDate(held.startTime) : new Date();
      const total = t("countsText", { images: t("images", { n: Number(held.imageCount) }), bytes: bytes(Number(held.imageBytes)) });
      rows.push(
        ...pair(t("version"), built(held)),
        ...pair(t("since"), h("time", { datetime: since.toISOString(), title: date(since) }, ago(since))),
        ...pair(t("counts"), h("span", { "data-status": "images" }, total)),
        ...pair("", t("users", { n: Number(held.userCount) })),
        ...pair("", t("openUploads", { n: Number(held.openUploadCount) })),
        ...(held.verification ? pair(t("verified"), verified(held.verification)) : []),
      );
    }
    this.#state.replaceChildren(...(rows as Node[]), ...this.#limits);
    if (this.element.open) this.#timer = setTimeout(() => void this.#refresh(), REFRESH_MS);
  }
}

/** Buttons of which one is chosen. */
function tabs<T extends string>(names: readonly T[], chosen: (name: T) => void) {
  const made = names.map((name) => h("button", { type: "button", class: "tab", onclick: () => choose(name) }, name));
  const choose = (name: T) => {
    made.forEach((tab, i) => tab.setAttribute("aria-pressed", String(names[i] === name)));
    chosen(name);
  };
  return { tabs: made, choose };
}

function built({ version, build, schemaVersion }: GetStatusResponse): string {
  const commit = build.slice(0, 12);
  return [version, commit, schemaVersion ? t("schema", { n: schemaVersion }) : ""].filter(Boolean).join(" · ");
}

function verified({ damagedImageCount, lastFinishTime, lastImageCount }: Verification): HTMLElement {
  const damaged = Number(damagedImageCount);
  const whole = lastFinishTime
    ? t("verifiedAll", { images: t("images", { n: Number(lastImageCount) }), ago: ago(timestampDate(lastFinishTime)) })
    : t("verifying");
  return h("span", { "data-status": "verified", "data-damaged": damaged || null }, damaged ? t("damaged", { n: damaged }) : whole);
}

function pair(name: string, ...value: Child[]): HTMLElement[] {
  return [h("dt", null, name), h("dd", null, ...value)];
}

async function limits(): Promise<HTMLElement[]> {
  const found = await uploads.getLimits({});
  const idle = period(Number(found.idleExpiry?.seconds ?? 0n));
  const total = period(Number(found.totalExpiry?.seconds ?? 0n));
  return [
    ...pair(t("maxImage"), bytes(Number(found.maxImageBytes))),
    ...pair(t("maxPixels"), number(Number(found.maxPixels))),
    ...pair(t("maxMessage"), bytes(Number(found.maxMessageBytes))),
    ...pair(t("expiry"), t("expiryText", { idle, total })),
  ];
}

// Why there is no connection, in plain words instead of those of grpc-js and OpenSSL.
import { connect } from "node:tls";

import { hostAndPort } from "./address.js";

/** How long to wait for an answer to the question whether a server speaks TLS. */
const PROBE_MS = 2_000;

/** How a client connects. */
export interface Security {
  /** Whether it uses TLS. */
  encrypted: boolean;
  /** Whether it has a certificate of its own. */
  cert: boolean;
}

export interface Why {
  words: string;
  /** Whether every other attempt of this client would fail for the same reason. */
  certain: boolean;
}

// What a server without TLS answers to a handshake is read as a record of TLS, which it is not.
const NO_TLS = /wrong version number|packet length too long|record layer failure|http request|unknown protocol/i;
// With TLS 1.3, a client learns after its handshake that its certificate is missing or refused.
const CLIENT = /alert (?:certificate required|bad certificate|unknown ca|unsupported certificate|certificate (?:revoked|expired|unknown))/;

const WORDS: readonly (readonly [RegExp, string])[] = [
  [/certificate has expired|CERT_HAS_EXPIRED/, "its certificate has expired"],
  [/certificate is not yet valid|CERT_NOT_YET_VALID/, "its certificate is not valid yet"],
  [/ALTNAME_INVALID|altnames/, "its certificate is for another name"],
  [/verify the first certificate|self.signed|unable to get (?:local )?issuer|CERT_UNTRUSTED/i, "its certificate is of a CA that is not trusted here: give ca"],
  [NO_TLS, "it does not speak TLS: leave tls, ca and cert out"],
];
const UNKNOWN_HOST = /Name resolution failed|ENOTFOUND|EAI_/;
const CUT = /Failed to connect|ECONNRESET|EPIPE|socket hang up|[Cc]onnection (?:dropped|closed)|GOAWAY/;

/** Says why a call to a server that never answered has failed, within `timeoutMs`. */
export async function whyUnreachable(said: string, address: string, security: Security, timeoutMs = PROBE_MS): Promise<Why> {
  const found = WORDS.find(([pattern]) => pattern.test(said));
  if (found) return { words: found[1], certain: true };
  if (CLIENT.test(said)) {
    const words = security.cert
      ? "it refuses this client's certificate: give another cert and key"
      : "it may want a client certificate: give cert and key";
    return { words, certain: true };
  }
  if (UNKNOWN_HOST.test(said)) return { words: "its host is not known", certain: false };
  if (!security.encrypted && CUT.test(said) && (await speaksTls(address, Math.min(timeoutMs, PROBE_MS)))) {
    return { words: "it wants TLS: give tls, or ca with its CA", certain: true };
  }
  return { words: brief(said), certain: false };
}

/** Whether a server answers a handshake of TLS. Nothing is sent after it, so it does not matter who answers. */
async function speaksTls(address: string, timeoutMs: number): Promise<boolean> {
  const place = hostAndPort(address);
  if (!place) return false;
  const socket = connect({ ...place, rejectUnauthorized: false, ALPNProtocols: ["h2"] });
  try {
    return await new Promise((resolve) => {
      socket.once("secureConnect", () => resolve(true));
      // An alert is an answer in TLS, too: the server wants a certificate, for example.
      socket.once("error", (error: Error) => resolve(/ alert /.test(error.message)));
      socket.once("close", () => resolve(false));
      socket.setTimeout(timeoutMs, () => resolve(false));
    });
  } finally {
    socket.on("error", () => undefined).destroy();
  }
}

/** The innermost of the nested sentences of grpc-js, without the time and the notes around it. */
function brief(said: string): string {
  const last = said.split("Last error: ").at(-1) ?? said;
  const bare = last.replace(/\.? Resolution note:.*$/s, "").replace(/ \(\d{4}-[^)]*\)$/, "").replace(/^Error: /, "");
  return bare.trim().replace(/\.$/, "") || "the connection ended";
}

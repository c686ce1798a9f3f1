// The calls about tokens, tickets and links.
import { newToken, quota, quotaRequest, scopeNumbers, scopes, ticket, token, ttl } from "./access.js";
import type { AccessScope, NewToken, Quota, Ticket, Token } from "./access.js";
import { hostAndPort } from "./address.js";
import { check, duration, flag, invalid, signal, text, texts, whole } from "./fields.js";
import type { Checks } from "./fields.js";
import { AdminService } from "./gen/conexiones/v1/access_pb.js";
import { ImageService } from "./gen/conexiones/v1/images_pb.js";
import { UploadService } from "./gen/conexiones/v1/uploads_pb.js";
import { RENDITION, renditionRequest } from "./renditions.js";
import type { Rendition } from "./renditions.js";
import { CALL } from "./rpc.js";
import type { CallOptions, Rpc } from "./rpc.js";

export interface TokenOptions extends CallOptions {
  /** Whoever has the token sees and touches only what was stored with a token of this name. */
  own?: boolean | undefined;
  /** Milliseconds that the token works; without it, for any length of time. */
  expiresMs?: number | undefined;
  /** What is absent has the server's defaults. */
  quota?: Quota | undefined;
}

export interface TokensOptions {
  /** Only tokens of this name. */
  name?: string | undefined;
  /** Also tokens that were revoked or have expired, within the last 30 days. */
  ended?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

export interface TicketOptions extends CallOptions {
  /** The bytes of all images together. Default: the size of the largest image. */
  maxBytes?: number | undefined;
  /** How many images. Default 1. */
  maxImages?: number | undefined;
  /** The formats that the images may have, such as "JPEG". Default: all that the server accepts. */
  formats?: readonly string[] | undefined;
  /** To whom the images belong. Default: to the owner of what this client stores. */
  owner?: string | undefined;
  /** Milliseconds that the ticket works: 1,000 to a day, by default an hour. It ends with the client's token. */
  expiresMs?: number | undefined;
}

/** The options of the rendition that the link opens; without any, it opens the original. */
export interface LinkOptions extends Rendition, CallOptions {
  /** Browsers save the image instead of showing it. */
  download?: boolean | undefined;
  /** Milliseconds that the link works: 1,000 to seven days, by default an hour. It ends with the client's token. */
  expiresMs?: number | undefined;
  /** What stands before "/images/", such as "https://images.example". Default: the client's address. */
  base?: string | URL | undefined;
}

export type RotateOptions = CallOptions & { endLinks?: boolean | undefined };

const TOKEN: Checks<TokenOptions> = { ...CALL, own: flag, expiresMs: duration, quota };
const TOKENS: Checks<TokensOptions> = { name: text, ended: flag, signal };
const TICKET: Checks<TicketOptions> = {
  ...{ ...CALL, maxBytes: whole(0), maxImages: whole(0), formats: texts, owner: text, expiresMs: duration },
};
const LINK: Checks<LinkOptions> = { ...CALL, ...RENDITION, download: flag, expiresMs: duration, base };
const ROTATE: Checks<RotateOptions> = { ...CALL, endLinks: flag };
const TOKENS_PAGE = 1_000;

/** How the client makes a unary call. */
type Unary = <T>(options: CallOptions, call: (options: CallOptions) => Promise<T>) => Promise<T>;

export async function createToken(
  rpc: Rpc,
  once: Unary,
  name: string,
  wanted: readonly AccessScope[],
  options: TokenOptions,
): Promise<NewToken> {
  text("name", name);
  scopes("scopes", wanted);
  check(options, TOKEN);
  const { own = false, expiresMs, quota: limits, ...rest } = options;
  const request = {
    ...{ name, scopes: scopeNumbers(wanted), own, ...ttl(expiresMs) },
    ...(limits && { quota: quotaRequest(limits) }),
  };
  const reply = await once(rest, (call) => rpc.unary(AdminService.method.createToken, request, call));
  return newToken(reply.token, reply.secret);
}

export async function* tokens(rpc: Rpc, unary: Unary, options: TokensOptions): AsyncGenerator<Token, void, undefined> {
  check(options, TOKENS);
  const { name = "", ended = false, signal: until } = options;
  let pageToken = "";
  do {
    const request = { name, ended, pageToken, pageSize: TOKENS_PAGE };
    const page = await unary({ signal: until }, (call) => rpc.unary(AdminService.method.listTokens, request, call));
    if (page.tokens.length === 0) return; // whatever its token says, or else it might go on forever
    for (const each of page.tokens) {
      yield token(each);
      until?.throwIfAborted();
    }
    pageToken = page.nextPageToken;
  } while (pageToken);
}

export async function revokeToken(rpc: Rpc, unary: Unary, id: string, options: CallOptions): Promise<Token> {
  text("id", id);
  const reply = await unary(options, (call) => rpc.unary(AdminService.method.revokeToken, { id }, call));
  return token(reply.token);
}

export async function rotateLinkKey(rpc: Rpc, unary: Unary, options: RotateOptions): Promise<string> {
  check(options, ROTATE);
  const { endLinks = false, ...rest } = options;
  const reply = await unary(rest, (call) => rpc.unary(AdminService.method.rotateLinkKey, { endLinks }, call));
  return reply.keyId;
}

export async function createTicket(rpc: Rpc, unary: Unary, options: TicketOptions): Promise<Ticket> {
  check(options, TICKET);
  const { maxBytes = 0, maxImages = 0, formats = [], owner = "", expiresMs, ...rest } = options;
  const request = { maxBytes: BigInt(maxBytes), maxImages: BigInt(maxImages), formats: [...formats], owner, ...ttl(expiresMs) };
  return ticket(await unary(rest, (call) => rpc.unary(UploadService.method.createTicket, request, call)));
}

export async function imageLink(rpc: Rpc, unary: Unary, id: string, options: LinkOptions): Promise<string> {
  text("id", id);
  check(options, LINK);
  const { download = false, expiresMs, base: before = originOf(rpc), signal: until, timeoutMs, ...rendition } = options;
  const wanted = Object.values(rendition).some(Boolean) && { rendition: renditionRequest(rendition) };
  const request = { id, download, ...ttl(expiresMs), ...wanted };
  const call = { signal: until, timeoutMs };
  const { path } = await unary(call, (each) => rpc.unary(ImageService.method.signImageUrl, request, each));
  return String(before).replace(/\/+$/, "") + path;
}

/** Scheme, host and port of the server, as a browser writes them. */
function originOf({ place: address, security }: Rpc): string {
  const place = hostAndPort(address);
  if (!place) throw invalid("base", [`a URL, which ${address} is not`, `una URL, que ${address} no es`]);
  const host = place.host.includes(":") ? `[${place.host}]` : place.host;
  return `${security.encrypted ? "https" : "http"}://${host}:${place.port}`;
}

function base(field: string, value: unknown): void {
  if (!/^https?:\/\/[^/?#]+[^?#]*$/i.test(String(value))) {
    throw invalid(field, ["a URL, such as https://images.example", "una URL, como https://images.example"]);
  }
}

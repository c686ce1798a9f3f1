// The tutorial's calls, under the names of its contract.
import { create } from "@bufbuild/protobuf";
import type { ClientWritableStream } from "@grpc/grpc-js";

import { Backoff, retrying } from "./backoff.js";
import { Code, errorOfParts, ImageError, isRefused } from "./errors.js";
import type { ConexionesError } from "./errors.js";
import { bytes, check, int32, invalid, milliseconds, signal, text, whole } from "./fields.js";
import type { Checks } from "./fields.js";
import { LocalizedMessageSchema } from "./gen/google/rpc/error_details_pb.js";
import { GetImageSchema, GetUserRequestSchema, UsuarioServicio } from "./gen/user_pb.js";
import type { Error as ErrorMessage, GetImage, GetUserReply, GetUserRequest } from "./gen/user_pb.js";
import { imageInfo, user } from "./images.js";
import type { ImageInfo, User } from "./images.js";
import { Taking } from "./iterables.js";
import { CALL, written } from "./rpc.js";
import type { BidiStream, CallOptions, Rpc } from "./rpc.js";
import { Scope } from "./scope.js";
import type { Source, UploadSource } from "./sources.js";
import { withSource } from "./upload.js";

export interface UserRequest {
  /** 1 to 256 characters. */
  name: string;
  /** An int32. 0, the default, leaves the stored number as it is. */
  pow?: number | undefined;
  /** The bytes of a whole image file, of which there must be some. Without it, the stored image stays. */
  image?: Uint8Array | undefined;
}

export interface UserReply {
  /** A sentence for people, in Spanish. */
  message: string;
  user: User | undefined;
  /** The image of this call or, if there was none, the one stored for the user. */
  image: ImageInfo | undefined;
}

export interface ImageReply {
  /** A sentence for people, in Spanish. */
  message: string;
  /** The image as stored; undefined if there is an error. */
  image: ImageInfo | undefined;
  /** The error for which this image was refused; the stream goes on. */
  error: ConexionesError | undefined;
}

export interface UserStreamReply {
  message: string;
  name: string;
  /** pow squared; 0, with an error, if it does not fit into an int32. */
  pow: number;
  /** A JPEG of at most 256 × 256 pixels; empty if there is no preview. */
  preview: Uint8Array;
  user: User | undefined;
  /** The image that `preview` is of. */
  image: ImageInfo | undefined;
  /** What could not be done for this user; the stream goes on. */
  errors: ConexionesError[];
}

const USER: Checks<UserRequest> = { name: text, pow: int32, image: bytes };
const PROCESS: Checks<ProcessOptions> = { user: text, signal, timeoutMs: milliseconds };
const STREAM: Checks<StreamOptions> = { chunkSize: whole(1), signal, timeoutMs: milliseconds };

export type ProcessOptions = CallOptions & { user?: string | undefined };
export type StreamOptions = CallOptions & { chunkSize?: number | undefined };

/** Default size of one fragment of GetStreamImage. */
const FRAGMENT_BYTES = 64 << 10;
const { method } = UsuarioServicio;

export async function getUser(rpc: Rpc, request: UserRequest, options: CallOptions): Promise<UserReply> {
  check(options, CALL);
  return userReply(await rpc.unary(method.getUser, userRequest(request), options));
}

export async function processImage(
  rpc: Rpc,
  image: Uint8Array,
  { user: name = "", ...options }: ProcessOptions,
): Promise<UserReply> {
  bytes("bytes", image);
  check({ user: name, ...options }, PROCESS);
  return userReply(await rpc.unary(method.processImage, { name, image }, options));
}

export async function streamImage(
  rpc: Rpc,
  from: UploadSource,
  options: StreamOptions,
  { patienceMs }: { patienceMs: number },
): Promise<UserReply> {
  return await withSource(from, options, STREAM, async (source, signal) => {
    const { chunkSize = FRAGMENT_BYTES, timeoutMs } = options;
    const attempt = () =>
      rpc.clientStream(method.getStreamImage, (call) => writeFragments(call, source, chunkSize), { timeoutMs, signal });
    // Retrying what the server has begun could store the image twice.
    const repeatable = (error: unknown) => source.again && isRefused(error);
    return userReply(await retrying(new Backoff(rpc, patienceMs, signal), attempt, repeatable));
  });
}

async function writeFragments(call: ClientWritableStream<GetImage>, source: Source, chunkSize: number): Promise<void> {
  for (let offset = 0; ; ) {
    const image = await source.read(offset, chunkSize);
    if (image.length === 0 || !(await written(call, create(GetImageSchema, { image })))) break;
    offset += image.length;
    source.release(offset);
  }
  call.end();
}

export async function* imageStream(
  rpc: Rpc,
  images: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: CallOptions,
  left: AbortSignal,
): AsyncGenerator<ImageReply, void, undefined> {
  const request = (image: Uint8Array): GetImage => {
    bytes("image", image);
    return create(GetImageSchema, { image });
  };
  const replies = conversation((call) => rpc.bidi(method.imageStreamReply, call), options, images, request, left);
  for await (const { message, imageInfo: stored, error } of replies) {
    yield { message, image: stored && imageInfo(stored), error: error && errorOf(error) };
  }
}

export async function* userStream(
  rpc: Rpc,
  users: AsyncIterable<UserRequest> | Iterable<UserRequest>,
  options: CallOptions,
  left: AbortSignal,
): AsyncGenerator<UserStreamReply, void, undefined> {
  const replies = conversation((call) => rpc.bidi(method.getUserBidiStream, call), options, users, userRequest, left);
  for await (const reply of replies) {
    const { message, name, pow, image: preview, user: of, imageInfo: stored, errors } = reply;
    yield {
      ...{ message, name, pow, preview, user: of && user(of), image: stored && imageInfo(stored) },
      errors: errors.map(errorOf),
    };
  }
}

/** Sends the items while replies arrive. If `items` fails, its error ends the replies. Closes `items` in the end. */
async function* conversation<T, I, O>(
  begin: (options: CallOptions) => BidiStream<I, O>,
  options: CallOptions,
  items: AsyncIterable<T> | Iterable<T>,
  request: (item: T) => I,
  left: AbortSignal,
): AsyncGenerator<O, void, undefined> {
  const taking = takingOf(items);
  let scope: Scope | undefined;
  let failure: { error: unknown } | undefined;
  const send = async (call: BidiStream<I, O>) => {
    try {
      for (;;) {
        const next = await taking.next();
        if (next.done) break;
        if (!(await call.write(request(next.value)))) return;
      }
      call.end();
    } catch (error) {
      failure = { error };
      call.cancel();
    }
  };
  try {
    check(options, CALL);
    scope = new Scope(options.signal, undefined);
    scope.endWith(left);
    const call = begin({ ...options, signal: scope.signal });
    void send(call);
    yield* call;
  } catch (error) {
    throw failure ? failure.error : error;
  } finally {
    taking.end();
    scope?.close();
  }
}

function takingOf<T>(items: AsyncIterable<T> | Iterable<T>): Taking<T> {
  const taking = Taking.of<T>(items);
  if (!taking) throw invalid("items", ["an iterable, asynchronous or not", "un iterable, asíncrono o no"]);
  return taking;
}

/** Throws INVALID_FIELD, and EMPTY_IMAGE for an image of no bytes, which on its way would look like none. */
export function checkUser(user: UserRequest): void {
  check(user, USER, "user");
  text("name", user.name);
  if (user.image?.length !== 0) return;
  throw new ImageError({
    code: Code.INVALID_ARGUMENT,
    reason: "EMPTY_IMAGE",
    message: "The image is empty.",
    details: [create(LocalizedMessageSchema, { locale: "es", message: "La imagen está vacía." })],
  });
}

function userRequest(user: UserRequest): GetUserRequest {
  checkUser(user);
  const { name, pow = 0, image } = user;
  return create(GetUserRequestSchema, { name, pow, ...(image && { image }) });
}

function userReply({ message, user: of, imageInfo: stored }: GetUserReply): UserReply {
  return { message, user: of && user(of), image: stored && imageInfo(stored) };
}

function errorOf({ code, message, details }: ErrorMessage): ConexionesError {
  return errorOfParts(code, message, details);
}

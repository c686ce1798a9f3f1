// The list of images, fetched page by page.
import { timestampFromDate } from "@bufbuild/protobuf/wkt";

import { digestOf } from "./digest.js";
import { check, date, digest, invalid, LARGEST_INT32, signal, text, whole } from "./fields.js";
import type { Checks } from "./fields.js";
import { ImageService } from "./gen/conexiones/v1/images_pb.js";
import { image } from "./images.js";
import type { Image } from "./images.js";
import type { CallOptions, Rpc } from "./rpc.js";

export interface ListOptions {
  /** Only images of this user. */
  user?: string | undefined;
  /** Only images created at this time or later. */
  start?: Date | undefined;
  /** Only images created before this time. */
  end?: Date | undefined;
  /** Only images whose name contains this text, in whatever case. */
  name?: string | undefined;
  /** Only images of these bytes: at most 1,000 digests, each of 32 bytes or in hexadecimal. Of no digests there are none. */
  sha256?: readonly (Uint8Array | string)[] | undefined;
  /** Only images of this owner, such as "token:backend". */
  owner?: string | undefined;
  /** How many images to fetch with one request; at most 1,000. */
  pageSize?: number | undefined;
  signal?: AbortSignal | undefined;
}

const LIST: Checks<ListOptions> = { user: text, start: date, end: date, name: text, sha256: digests, owner: text, pageSize: whole(0, LARGEST_INT32), signal };
const MOST_DIGESTS = 1_000;

/** How the client makes a unary call that may be repeated. */
type Unary = <T>(options: CallOptions, call: (options: CallOptions) => Promise<T>) => Promise<T>;

/** Images, newest first. */
export async function* list(rpc: Rpc, unary: Unary, options: ListOptions): AsyncGenerator<Image, void> {
  check(options, LIST);
  const { user = "", start, end, name = "", sha256, owner = "", pageSize = 0, signal } = options;
  if (sha256?.length === 0) return;
  const filter = {
    ...{ user, name, owner, pageSize, sha256: sha256?.map(digestOf) ?? [] },
    ...(start && { startTime: timestampFromDate(start) }),
    ...(end && { endTime: timestampFromDate(end) }),
  };
  let pageToken = "";
  do {
    const request = { ...filter, pageToken };
    const page = await unary({ signal }, (call) => rpc.unary(ImageService.method.listImages, request, call));
    if (page.images.length === 0) return; // whatever its token says, or else it might go on forever
    for (const each of page.images) {
      yield image(each);
      signal?.throwIfAborted();
    }
    pageToken = page.nextPageToken;
  } while (pageToken);
}

function digests(field: string, value: unknown): void {
  if (!Array.isArray(value) || value.length > MOST_DIGESTS) {
    throw invalid(field, [`an array of at most ${MOST_DIGESTS} digests`, `un array de ${MOST_DIGESTS} resúmenes como máximo`]);
  }
  for (const one of value) digest(field, one);
}

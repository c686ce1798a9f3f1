// What a server says of itself, as plain objects with numbers and dates.
import type { GetStatusResponse, Verification as VerificationMessage } from "./gen/conexiones/v1/status_pb.js";
import { date } from "./images.js";

/** What reading all stored images in the background has shown. */
export interface Verification {
  /** When the round under way began; undefined between two rounds. */
  beginTime: Date | undefined;
  /** How many images were read in the round under way, and their bytes. */
  images: number;
  bytes: number;
  /** When the last round finished; undefined if none has. */
  lastFinishTime: Date | undefined;
  lastImages: number;
  lastBytes: number;
  /** How many images are known to be damaged. */
  damagedImages: number;
}

/** What a server is, and what it holds of what the client may see. */
export interface ServerStatus {
  version: string;
  /** The commit that the program was built from; "" if that is not known. */
  build: string;
  /** The number of the catalog's schema; 0 if the server is too old to say. */
  schemaVersion: number;
  startTime: Date;
  images: number;
  /** Of all images together. Bytes that several images share count for each of them. */
  imageBytes: number;
  users: number;
  openUploads: number;
  /** Undefined for clients who see only what belongs to an owner, and if the server is too old to say. */
  verification: Verification | undefined;
}

export function serverStatus(message: GetStatusResponse): ServerStatus {
  const { version, build, schemaVersion, startTime, verification: found } = message;
  return {
    ...{ version, build, schemaVersion, startTime: date(startTime) },
    ...{ images: Number(message.imageCount), imageBytes: Number(message.imageBytes) },
    ...{ users: Number(message.userCount), openUploads: Number(message.openUploadCount) },
    verification: found && verification(found),
  };
}

function verification(message: VerificationMessage): Verification {
  const { beginTime, lastFinishTime } = message;
  return {
    ...{ beginTime: beginTime && date(beginTime), images: Number(message.imageCount), bytes: Number(message.imageBytes) },
    lastFinishTime: lastFinishTime && date(lastFinishTime),
    ...{ lastImages: Number(message.lastImageCount), lastBytes: Number(message.lastImageBytes) },
    damagedImages: Number(message.damagedImageCount),
  };
}

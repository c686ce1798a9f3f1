export type { Access, AccessScope, NewToken, Quota, Ticket, Token, Usage } from "./access.js";
export { Client } from "./client.js";
export type { ClientOptions } from "./client.js";
export type { DownloadOptions } from "./download.js";
export {
  AccessError,
  Code,
  ConexionesError,
  ImageError,
  NotFoundError,
  REASONS,
  UnavailableError,
  UnreachableError,
} from "./errors.js";
export type { Detail, Reason } from "./errors.js";
export type { LinkOptions, RotateOptions, TicketOptions, TokenOptions, TokensOptions } from "./grants.js";
export type { Facts, Image, ImageInfo, Progress, User } from "./images.js";
export type { ListOptions } from "./listing.js";
export type { UploadItem, UploadManyOptions, UploadResult } from "./many.js";
export type { Rendition, RenditionInfo, RenditionLimits } from "./renditions.js";
export type { CallOptions } from "./rpc.js";
export type { ServerStatus, Verification } from "./server_status.js";
export type { UploadSource } from "./sources.js";
export type { Limits, Upload, UploadState } from "./status.js";
export type { DownloadTarget } from "./targets.js";
export type { UploadOptions } from "./upload.js";
export type { ImageReply, UserReply, UserRequest, UserStreamReply } from "./usuario.js";
export type { WatchEvent, WatchOptions } from "./watch.js";

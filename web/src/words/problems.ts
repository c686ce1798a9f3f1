// The server's errors in Spanish, by their reasons; in English it says them itself.
import { language } from "../i18n";

const SPANISH: Record<string, string> = {
  EMPTY_NAME: "El nombre está vacío.",
  NAME_TOO_LONG: "El nombre es demasiado largo.",
  INVALID_FIELD: "Un campo tiene un valor que no vale.",
  EMPTY_IMAGE: "La imagen está vacía.",
  EMPTY_STREAM: "El archivo está vacío.",
  NOT_AN_IMAGE: "No es una imagen de ningún formato conocido.",
  UNSUPPORTED_FORMAT: "Ese formato no se acepta: envía JPEG, PNG, GIF, WebP, TIFF, BMP, AVIF o HEIF.",
  CORRUPT_IMAGE: "La imagen está dañada.",
  TRUNCATED_IMAGE: "La imagen está incompleta: le falta el final.",
  IMAGE_TOO_LARGE: "La imagen supera el tamaño permitido.",
  TOO_MANY_PIXELS: "La imagen tiene demasiados píxeles.",
  IMAGE_NOT_FOUND: "No hay ninguna imagen con ese id.",
  MESSAGE_TOO_LARGE: "El mensaje es demasiado grande: añade la imagen a la galería.",
  STORAGE_FULL: "El servidor se ha quedado sin espacio.",
  STORAGE_UNAVAILABLE: "El servidor no alcanza su almacén.",
  SERVER_DRAINING: "El servidor se está cerrando.",
  SERVER_BUSY: "El servidor está ocupado.",
  CHECKSUM_MISMATCH: "Los bytes se dañaron por el camino.",
  BLOB_CORRUPT: "La imagen guardada está dañada en el servidor.",
  INTERNAL: "El servidor falló.",
  FILE_CHANGED: "El archivo ha cambiado o ya no se puede leer.",
};

/** What to say of an error. */
export function sentence({ reason, message }: { reason: string; message: string }): string {
  return (language === "es" && SPANISH[reason]) || message || reason;
}

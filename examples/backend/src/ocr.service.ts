import type { DocumentBody, SidecarClient } from './client.js';
import { readDocument } from './read-document.js';

export const PRODUCTION_PROFILE = 'ocr-extract';

/** Warnings after which a person should look at the text: something is missing from it, or may be wrong. */
const NEEDS_REVIEW: ReadonlySet<string> = new Set([
  'page-failed',
  'deadline-partial',
  'pages-limited',
  'document-repaired',
  'form-not-shown',
  'engine-fallback',
  'page-truncated',
  'page-looped',
  'page-echoed',
  'page-empty',
  'numerals-doubtful',
  'languages-unread',
]);

export interface OcrResult {
  text: string;
  ocrUsed: boolean;
  engineUsed: string;
  /** Which revision of the profile was in force; undefined where no page was for the model. */
  profileRevision: string | undefined;
  /** Pages without their whole text: send them again as `pages`, or show them to a person. */
  incompletePages: number[];
  needsReview: boolean;
  warnings: string[];
}

/** Reads documents in production. */
export class OcrService {
  constructor(private readonly client: SidecarClient) {}

  async detectAndExtract(document: Blob, signal?: AbortSignal): Promise<OcrResult> {
    return toResult(await readDocument(this.client, PRODUCTION_PROFILE, document, signal));
  }

  /** Whether documents can be read now. */
  async isHealthy(signal?: AbortSignal): Promise<boolean> {
    const { response } = await this.client.GET('/health', { signal: signal ?? null });
    return response.ok;
  }
}

function toResult(body: DocumentBody): OcrResult {
  const incomplete = body.pages.filter((page) => page.error || page.truncated || page.looped || page.echoed);
  return {
    text: body.text,
    ocrUsed: body.ocrUsed,
    engineUsed: body.engineUsed,
    profileRevision: body.profile?.revision,
    incompletePages: [...incomplete.map((page) => page.page), ...body.unreadPages],
    needsReview: body.warnings.some((code) => NEEDS_REVIEW.has(code)),
    warnings: body.warnings,
  };
}

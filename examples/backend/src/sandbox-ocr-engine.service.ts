import type { DocumentBody, SidecarClient } from './client.js';
import { readDocument } from './read-document.js';

export const SANDBOX_PROFILE = 'ocr-sandbox';

export interface SandboxPage {
  page: number;
  text: string;
  engine: string | null;
  /** What each attempt was sent, and how its answer was judged. */
  attempts: { engine: string; verdict: string; parameters: Record<string, unknown> }[];
}

export interface SandboxOcrResult {
  text: string;
  engineUsed: string;
  /** Whether another engine than the model read a page. */
  fallbackUsed: boolean;
  warnings: string[];
  pages: SandboxPage[];
}

/** Lets an administrator try a prompt: the same document with a profile that production does not use. */
export class SandboxOcrEngineService {
  constructor(
    private readonly client: SidecarClient,
    private readonly profile: string = SANDBOX_PROFILE,
  ) {}

  async detectAndExtract(document: Blob, signal?: AbortSignal): Promise<SandboxOcrResult> {
    const body = await readDocument(this.client, this.profile, document, signal);
    return {
      text: body.text,
      engineUsed: body.engineUsed,
      fallbackUsed: body.pages.some((page) => page.fallbackFrom !== null),
      warnings: body.warnings,
      pages: body.pages.map(toPage),
    };
  }
}

function toPage({ page, text, engine, attempts }: DocumentBody['pages'][number]): SandboxPage {
  const shown = attempts.map(({ engine: by, verdict, parameters }) => ({ engine: by, verdict, parameters }));
  return { page, text, engine, attempts: shown };
}

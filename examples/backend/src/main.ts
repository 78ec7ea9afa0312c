// npm start -- production|sandbox FILE [SECONDS]: reads a document as the backend does, and prints the result as JSON.
// OCR_API_URL says where the sidecar is.
import { openAsBlob } from 'node:fs';
import { makeClient, SidecarError } from './client.js';
import { OcrService } from './ocr.service.js';
import { SandboxOcrEngineService } from './sandbox-ocr-engine.service.js';

const [mode = 'production', file = '', seconds = '360'] = process.argv.slice(2);
const client = makeClient(process.env['OCR_API_URL']);
const service = mode === 'sandbox' ? new SandboxOcrEngineService(client) : new OcrService(client);

try {
  const signal = AbortSignal.timeout(1000 * Number(seconds));
  console.log(JSON.stringify(await service.detectAndExtract(await openAsBlob(file), signal)));
} catch (error) {
  const { status, code, retryAfterSeconds } = error instanceof SidecarError ? error : ({} as Partial<SidecarError>);
  const name = error instanceof Error ? error.name : String(error);
  console.log(JSON.stringify({ error: name, status, code, retryAfterSeconds }));
  process.exitCode = 1;
}

// Writes src/openapi.ts, the types of a service's API: npm run generate -- http://127.0.0.1:8765/openapi.json
import { writeFile } from 'node:fs/promises';
import openapiTS, { astToString, stringToAST } from 'openapi-typescript';

const [source = 'http://ocr-sidecar:8765/openapi.json'] = process.argv.slice(2);
const [{ type: blob }] = [stringToAST('type A = Blob;')[0]];
const ast = await openapiTS(new URL(source), {
  // A document is sent as a Blob; by default its type would be string.
  transform: (schema) => (schema.contentMediaType === 'application/octet-stream' ? blob : undefined),
});
await writeFile(new URL('src/openapi.ts', import.meta.url), astToString(ast));

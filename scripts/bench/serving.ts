/**
 * nginx as an EBS endpoint: a JSON file a page of a listing, a file a block, the checksums from a map, and its
 * log to count what was asked for. Nothing in there knows the API but the files' names, and nothing is slower
 * than sending a file.
 */
import { BLOCK_BYTES, type DataSet } from "./data.ts";
import { toolPath } from "./programs.ts";

/** As many as the API gives at most. */
const PAGE_BLOCKS = 10_000;

/** A running endpoint. */
export interface Endpoint {
  readonly url: string;
  readonly port: number;
  /** GetSnapshotBlock requests that it has answered. */
  blockRequests(): number;
  close(): Promise<void>;
}

/** Serves a set of data, and its later snapshots. */
export async function serve(set: DataSet): Promise<Endpoint> {
  layOutPages(set);
  const port = freePort();
  const configuration = `${set.folder}/nginx.conf`;
  Deno.writeTextFileSync(configuration, nginxConfiguration(set, port));
  // Where its workers give up root's rights, they still have to come by.
  Deno.chmodSync(set.folder, 0o755);
  const child = new Deno.Command(toolPath("nginx")!, {
    args: ["-p", set.folder, "-c", configuration, "-e", `${set.folder}/error.log`],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const ended = child.status;
  await Promise.race([
    listening(port),
    ended.then(() => {
      throw new Error(`Cannot serve: nginx ended, ${Deno.readTextFileSync(`${set.folder}/error.log`)}`);
    }),
  ]);
  const log = `${set.folder}/access.log`;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    blockRequests: () =>
      Deno.readTextFileSync(log).match(/^200 \/snapshots\/[^/]+\/blocks\/\d/gm)?.length ?? 0,
    async close() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

/** The pages: `SNAPSHOT/pages/N.json` of all its blocks, `SNAPSHOT/changes/N.json` of those that differ. */
function layOutPages(set: DataSet): void {
  const snapshots = [set.snapshot, ...set.changes.map((change) => change.snapshot)];
  for (const snapshot of snapshots) {
    const blocks = set.blocks.map(({ index }) => ({ BlockIndex: index, BlockToken: `token-${index}` }));
    writePages(`${set.folder}/${snapshot}/pages`, { set, member: "Blocks", blocks });
  }
  for (const change of set.changes) {
    const blocks = change.blocks.map(({ index }) => ({
      BlockIndex: index,
      FirstBlockToken: `first-${index}`,
      SecondBlockToken: `token-${index}`,
    }));
    writePages(`${set.folder}/${change.snapshot}/changes`, { set, member: "ChangedBlocks", blocks });
  }
}

function writePages(
  folder: string,
  listing: { readonly set: DataSet; readonly member: string; readonly blocks: readonly object[] },
): void {
  const { set, member, blocks } = listing;
  Deno.mkdirSync(folder);
  const pageCount = Math.max(1, Math.ceil(blocks.length / PAGE_BLOCKS));
  for (let page = 0; page < pageCount; page++) {
    Deno.writeTextFileSync(
      `${folder}/${page}.json`,
      JSON.stringify({
        [member]: blocks.slice(page * PAGE_BLOCKS, (page + 1) * PAGE_BLOCKS),
        BlockSize: BLOCK_BYTES,
        VolumeSize: set.sizeGib,
        ExpiryTime: Date.now() / 1000 + 7 * 86_400,
        ...(page + 1 < pageCount && { NextToken: `page${page + 1}` }),
      }),
    );
  }
}

function checksumLines(set: DataSet): string[] {
  const lines: string[] = [];
  for (const { snapshot, blocks } of [set, ...set.changes]) {
    for (const { index, checksum } of blocks) lines.push(`${snapshot}/${index} "${checksum}";`);
  }
  // A block that did not change is the first snapshot's.
  for (const change of set.changes) {
    const changed = new Set(change.blocks.map(({ index }) => index));
    for (const { index, checksum } of set.blocks) {
      if (!changed.has(index)) lines.push(`${change.snapshot}/${index} "${checksum}";`);
    }
  }
  return lines;
}

/** What AWS says to whom it allows the EBS calls only. Anything else would be taken for a proxy's page, and retried. */
const EC2_REFUSAL = "<Response><Errors><Error><Code>UnauthorizedOperation</Code>" +
  "<Message>You are not authorized</Message></Error></Errors><RequestID>1</RequestID></Response>";
const STS_REFUSAL = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>" +
  "<Message>You are not authorized</Message></Error><RequestId>1</RequestId></ErrorResponse>";

function nginxConfiguration(set: DataSet, port: number): string {
  const { folder } = set;
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/temporary_${name};`).join("\n  ");
  const checksums = checksumLines(set);
  return `
daemon off;
worker_processes 1;
${Deno.uid() === 0 ? "user root;" : ""}
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 1024; }
http {
  log_format requests "$status $request_uri";
  access_log ${folder}/access.log requests;
  ${temporary}
  sendfile on;
  tcp_nodelay on;
  keepalive_requests 1000000;
  keepalive_timeout 60s;
  open_file_cache max=4096 inactive=60s;
  map_hash_bucket_size 256;
  map_hash_max_size ${Math.max(2048, 2 * checksums.length)};
  default_type application/octet-stream;
  map "$snapshot/$index" $checksum {
    ${checksums.join("\n    ")}
  }
  map $arg_pageToken $page { default 0; ~^page(?<number>[0-9]+)$ $number; }
  map $http_authorization $refusal {
    default '${STS_REFUSAL}';
    ~/ec2/aws4_request '${EC2_REFUSAL}';
  }
  server {
    listen 127.0.0.1:${port};
    root ${folder};
    location ~ ^/snapshots/(?<snapshot>snap-[0-9a-f]+)/blocks$ {
      default_type application/json;
      try_files /$snapshot/pages/$page.json =404;
    }
    location ~ ^/snapshots/(?<snapshot>snap-[0-9a-f]+)/changedblocks$ {
      default_type application/json;
      try_files /$snapshot/changes/$page.json =404;
    }
    location ~ ^/snapshots/(?<snapshot>snap-[0-9a-f]+)/blocks/(?<index>[0-9]+)$ {
      add_header x-amz-Checksum $checksum;
      add_header x-amz-Checksum-Algorithm SHA256;
      add_header x-amz-Data-Length ${BLOCK_BYTES};
      try_files /$snapshot/blocks/$index /${set.snapshot}/blocks/$index =404;
    }
    location / {
      default_type text/xml;
      return 403 $refusal;
    }
  }
}
`;
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}

async function listening(port: number): Promise<void> {
  for (;;) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return;
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

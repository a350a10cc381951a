/**
 * The whole program against nginx, which serves a snapshot as static files: a JSON file a page, a file a block,
 * the checksum from a map. Nothing there knows the API but the files' names.
 */
import { createHash } from "node:crypto";
import { assert, assertEquals } from "@std/assert";
import { BLOCK_BYTES, every, isSame, randomBytes } from "../e2e/images.ts";
import { coldcaseAt, freePort, withFolder, withServer } from "../e2e/outside_server.ts";
import { assertExit, summaryOf } from "../e2e/program.ts";
import { outside, toolPath } from "../outside.ts";

const SNAPSHOT = "snap-0123456789abcdef0";
const PAGE_BLOCKS = 10;

/** Lays out files for nginx, its configuration, and the image that they make up. */
function layOut(folder: string, port: number): void {
  const root = `${folder}/www`;
  Deno.mkdirSync(`${root}/blocks`, { recursive: true });
  Deno.mkdirSync(`${root}/pages`);
  const indexes = every(5, { from: 2, count: 35 });
  const image = Deno.openSync(`${folder}/disk.img`, { write: true, create: true });
  const checksums: string[] = [];
  for (const index of indexes) {
    const bytes = randomBytes(BLOCK_BYTES);
    Deno.writeFileSync(`${root}/blocks/${index}`, bytes);
    image.seekSync(index * BLOCK_BYTES, Deno.SeekMode.Start);
    for (let done = 0; done < bytes.length;) done += image.writeSync(bytes.subarray(done));
    const checksum = createHash("sha256").update(bytes).digest("base64");
    checksums.push(`/blocks/${index} "${checksum}";`); // as try_files has it
  }
  image.close();
  const pageCount = Math.ceil(indexes.length / PAGE_BLOCKS);
  for (let page = 0; page < pageCount; page++) {
    const listed = indexes.slice(page * PAGE_BLOCKS, (page + 1) * PAGE_BLOCKS);
    Deno.writeTextFileSync(
      `${root}/pages/${page}.json`,
      JSON.stringify({
        Blocks: listed.map((index) => ({ BlockIndex: index, BlockToken: `token+/${index}=` })),
        BlockSize: BLOCK_BYTES,
        VolumeSize: 1,
        ExpiryTime: Date.now() / 1000 + 3600,
        ...(page + 1 < pageCount && { NextToken: `page${page + 1}` }),
      }),
    );
  }
  Deno.writeTextFileSync(`${folder}/nginx.conf`, configuration({ folder, port, checksums }));
}

function configuration(
  facts: { readonly folder: string; readonly port: number; readonly checksums: readonly string[] },
): string {
  const { folder, port, checksums } = facts;
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/${name};`).join("\n  ");
  return `
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 256; }
http {
  access_log ${folder}/access.log;
  ${temporary}
  map_hash_bucket_size 256;
  default_type application/octet-stream;
  map $uri $checksum { ${checksums.join("\n")} }
  map $arg_pageToken $page { default 0; ~^page(?<number>[0-9]+)$ $number; }
  server {
    listen 127.0.0.1:${port};
    root ${folder}/www;
    location = /snapshots/${SNAPSHOT}/blocks {
      default_type application/json;
      try_files /pages/$page.json =404;
    }
    location ~ ^/snapshots/${SNAPSHOT}/blocks/(?<index>[0-9]+)$ {
      add_header x-amz-Checksum $checksum;
      add_header x-amz-Checksum-Algorithm SHA256;
      add_header x-amz-Data-Length ${BLOCK_BYTES};
      try_files /blocks/$index =404;
    }
    location / { return 403; }
  }
}
`;
}

outside("coldcase acquires and exports a snapshot that nginx serves as files", ["nginx"], async () => {
  await withFolder(async (folder) => {
    const port = freePort();
    layOut(folder, port);
    const args = ["-p", folder, "-c", `${folder}/nginx.conf`, "-e", `${folder}/error.log`];
    // Its workers give up root's rights, and the folder is its owner's alone.
    Deno.chmodSync(folder, 0o755);
    const nginx = new Deno.Command(toolPath("nginx")!, { args, stdout: "null", stderr: "null" });
    await withServer(nginx, port, async (url) => {
      const acquired = await coldcaseAt(url, folder, ["acquire", SNAPSHOT, "--json"]);
      assertExit(acquired, 0);
      assertEquals(summaryOf(acquired).storedBlocks, 35);
      assertExit(await coldcaseAt(url, folder, ["verify", SNAPSHOT, "--against-source"]), 0);
      const image = `${folder}/out.img`;
      assertExit(await coldcaseAt(url, folder, ["export", SNAPSHOT, "-o", image, "--digests", "none"]), 0);
      assert(isSame(`${folder}/disk.img`, image));
      // Its own log: each block once for the acquisition, once for the comparison.
      const log = Deno.readTextFileSync(`${folder}/access.log`);
      assertEquals(log.match(/GET \/snapshots\/[^ ]+\/blocks\/\d+\?[^ ]+ HTTP\/1\.1" 200/g)?.length, 70);
    });
  });
});

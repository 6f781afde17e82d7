// @aws-sdk/ec2-metadata-service, unchanged: what it learns, as JSON on stdout.
//     NODE_PATH=…/node_modules node tests/clients/play_node.js PATH…
const { MetadataService } = require("@aws-sdk/ec2-metadata-service");

async function main(paths) {
  const service = new MetadataService({ httpOptions: { timeout: 2000 }, retries: 0 });
  const learned = {};
  for (const path of paths) {
    try {
      learned[path] = await service.request(path, {});
    } catch (error) {
      learned[path] = { status: error.statusCode ?? null };
    }
  }
  console.log(JSON.stringify(learned));
}

// Its connections are kept, and Node would wait until they end.
main(process.argv.slice(2)).then(() => process.exit(0));

// `npm start`. Plain JavaScript, because whoever lacks what the rest needs still gets one clear
// line instead of a stack trace.
import process from "node:process";

const machine = `${process.platform}-${process.arch}`;
const major = Number(process.versions.node.split(".")[0]);

if (machine !== "linux-x64" && machine !== "linux-arm64") {
  stop(`Denim runs on Linux (x64 and arm64), and this is ${machine}.`);
} else if (major < 24) {
  stop(`Denim needs Node 24, and this is ${process.version}: run npm ci, which brings it.`);
} else {
  import("./start.ts").then(({ start }) => start()).catch((error) => stop(error.message));
}

function stop(line) {
  console.error(line);
  process.exitCode = 1;
}

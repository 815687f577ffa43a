// Opens a picture of the input folder with its workflow: /?ip2p=folder/name.png, as `ip2p app` links.

import { app } from "../../scripts/app.js";

app.registerExtension({
  name: "InstructPix2Pix.OpenResult",
  async setup() {
    const wanted = new URLSearchParams(location.search).get("ip2p");
    if (!wanted) return;
    const [filename, ...folders] = wanted.split("/").reverse();
    const place = { filename, subfolder: folders.reverse().join("/"), type: "input" };
    const answer = await fetch(`./api/view?${new URLSearchParams(place)}`);
    if (!answer.ok) throw new Error(`InstructPix2Pix: ${wanted} is not in the input folder`);
    await app.handleFile(new File([await answer.blob()], filename, { type: "image/png" }));
  },
});

import { expect, test } from "vitest";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();

test("of fifty simultaneous registrations of one name, in any case and normal form, exactly one succeeds", async () => {
  const spellings = ["zoë", "ZOË", "Zoë", "zoe\u0308", "ZOE\u0308", "ｚｏë"];
  for (let round = 0; round < 3; round += 1) {
    const register = async (spelling: string | undefined): Promise<number> => {
      const json = { username: `${round}${spelling}`, password };
      const { status } = await service.send("POST", "/api/users", { json });
      return status === 503 ? register(spelling) : status; // on a busy machine some time out
    };
    const statuses = await Promise.all(
      Array.from({ length: 50 }, (_, index) => register(spellings[index % spellings.length])),
    );
    expect(statuses.filter((status) => status === 201)).toHaveLength(1);
    expect(statuses.filter((status) => status === 409)).toHaveLength(49);
  }
  expect(await service.sql("SELECT 1 FROM users")).toHaveLength(3);
});

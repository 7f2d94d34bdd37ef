import t from "tap";
import {
  type Confidence,
  mayFollowClaims,
  modeOf,
  positionAfter,
} from "../../src/plan/confidence.ts";

const epoch = { n: 3, random: "a1" };

const sure: Confidence = {
  confirmedByLeader: true,
  hold: false,
  epoch,
  revision: 100,
  programmed: { epoch, revision: 100 },
};

t.test("a confirmed state at or above the programmed one may remove", async (t) => {
  t.equal(modeOf(sure), "full");
  t.equal(modeOf({ ...sure, revision: 101 }), "full");
  t.equal(modeOf({ ...sure, programmed: undefined }), "full");
});

t.test("every doubt on its own forbids it", async (t) => {
  t.equal(modeOf({ ...sure, confirmedByLeader: false }), "add-only");
  t.equal(modeOf({ ...sure, confirmedByLeader: false, programmed: undefined }), "add-only");
  t.equal(modeOf({ ...sure, hold: true }), "add-only");
  t.equal(modeOf({ ...sure, revision: 99 }), "add-only");
});

t.test("a later epoch counts from anew, an earlier or an unknown one does not", async (t) => {
  t.equal(modeOf({ ...sure, epoch: { n: 4, random: "b2" }, revision: 1 }), "full");
  t.equal(modeOf({ ...sure, epoch: { n: 2, random: "b2" }, revision: 500 }), "add-only");
  t.equal(modeOf({ ...sure, epoch: { n: 3, random: "b2" }, revision: 500 }), "add-only");
});

t.test("the record grows within a history, and changes history by a full pass only", async (t) => {
  const later = { n: 4, random: "b2" };
  t.same(positionAfter({ ...sure, revision: 120 }), { epoch, revision: 120 });
  t.same(positionAfter({ ...sure, revision: 120, confirmedByLeader: false }), {
    epoch,
    revision: 120,
  });
  t.equal(positionAfter({ ...sure, revision: 80 }), undefined);
  t.same(positionAfter({ ...sure, epoch: later, revision: 1 }), { epoch: later, revision: 1 });
  t.equal(positionAfter({ ...sure, epoch: later, revision: 1, hold: true }), undefined);
  t.equal(positionAfter({ ...sure, programmed: undefined, confirmedByLeader: false }), undefined);
});

t.test("in a hold single records may be followed where all else is sure", async (t) => {
  const hold = { ...sure, hold: true };
  t.equal(mayFollowClaims(hold), true);
  t.equal(mayFollowClaims({ ...hold, epoch: { n: 4, random: "b2" }, revision: 1 }), true);
  t.equal(mayFollowClaims(sure), false, "there is no need");
  t.equal(mayFollowClaims({ ...hold, confirmedByLeader: false }), false);
  t.equal(mayFollowClaims({ ...hold, revision: 99 }), false);
  t.equal(mayFollowClaims({ ...hold, epoch: { n: 3, random: "b2" } }), false);
});

"""The end of a followed step: its plan runs with the new inputs bound, and its results are left to
the program as bare tensors."""

from __future__ import annotations

import sys
from itertools import chain

from ..base.flags import values as flags
from ..ir import node as ir
from ..runtime import counts, execute
from .binding import Binding
from .choose import LATELY, Choosing
from .repeat import Repeat, can_repeat
from .runs import Run
from .trace import Trace

#: runs that are only repeated, after which the recorder looks at what is old
_MOST_REPEATED = 64
#: runs that were expected to be mere repetitions and were not, after which one in so many is
_IN_VAIN, _SAMPLE = 8, 16
MAX_LIVE = 4  # runs with an unwalked history that are remembered


class Finishing(Choosing):
    """A recording whose followed trace can be run."""

    def _refuse(self, why: str) -> bool:
        if flags.debug >= 2:
            print(f"[flambeau] trace not followed to its end: {why}", file=sys.stderr)
        return False

    def _bind_changed(self) -> bool:
        """Give the plan the leaves that are others than in the last run, if it can have them."""
        return self.trace.bind_leaves(self.changed, self.uses)

    def _run(self) -> bool:
        """Run the followed trace's plan, under the lock; False when something stands in the
        way."""
        trace = self.trace
        steps, binding = trace.steps, trace.binding
        if not counts.are(steps.slots, trace.usual) and not trace.held_are_known():
            return self._refuse("a result is still held that was not at the recording")
        if trace.repeat is not None:
            trace.repeat.forget()  # it holds the last run's results, which may be written over now
        execute.outstanding = False  # what the program made beside the trace runs first
        if ir.pending:
            execute.flush_pending()
        plan = binding.plan
        if self.done is not None or self.runs or self.left:
            self._release_done(plan)
        if plan.user is not binding:
            self._rebind(binding)
        if binding.unusual and (why := self._prepare(binding)):
            return self._give_up(plan, why)
        if not trace.bind_leaves(self.changed, self.uses):
            return self._give_up(plan, "a content that would be written over is held elsewhere")
        for cell, number in binding.cells:
            cell[()] = steps.numbers[number]
        if binding.unusual and not binding.move(steps.numbers, steps.bound):
            return self._give_up(plan, "a view begins where another plan is needed")
        results = self._execute(binding) if plan.has_host_steps else plan.execute(binding.given)
        if results is None:
            return self._give_up(plan, "made again to name the line of an index out of range")
        trace.finish(results)
        repeated = trace.repeated()
        if trace.repeat is not None:
            trace.repeat.vain = 0 if repeated else trace.repeat.vain + 1
        self.made += 1
        trace.used = self.count
        if trace.used - self.forgot >= LATELY:
            self._forget_old()
        self._leave_results(trace, results)
        self._expect(trace)
        return True

    def _note_run(self, trace: Trace) -> None:
        """The plan has run as it did the last time: the next run may be a mere repetition."""
        if trace.repeat is None:
            if trace.cannot_repeat or not can_repeat(trace):
                trace.cannot_repeat = True
                return
            trace.repeat = Repeat(trace, self.matching.address, _MOST_REPEATED)
        repeat = trace.repeat
        if (repeat.vain < _IN_VAIN or not self.made % _SAMPLE) \
                and all(run.binding.plan is not trace.binding.plan for run in self.left):
            repeat.note(self.done, self.runs)

    def _prepare(self, binding: Binding) -> str:
        """Look at what most plans do not have, and bind it; why it cannot be, or nothing."""
        if binding.unseen and not self._are_dropped(binding.unseen):
            return "a tensor is still held that was dropped at the recording"
        if binding.earlier:
            self._count_all_writes()
            if not binding.bind_histories(self.uses):
                return "a history that backward walks has changed"
        for position, place in binding.from_draw:
            binding.bind_draw(position, self.drawn[place])
        return ""

    @staticmethod
    def _execute(binding: Binding) -> list | None:
        """The results of a plan that calls into NumPy, which may find an index out of range before
        anything was written."""
        try:
            return binding.plan.execute(binding.given)
        except IndexError:
            return None
        finally:
            binding.unbind()

    def _leave_results(self, trace: Trace, results: list) -> None:
        """After a run: its tensors are bare until somebody looks at them."""
        binding, steps = trace.binding, trace.steps
        for earlier in binding.consumes:
            self.uses[earlier].consume()
        if binding.template is not None:
            self._count_all_writes()
        self.done = Run(trace, steps.slots[:], results, steps.bound,
                        steps.numbers[:] if binding.places.tags else steps.numbers)
        if binding.template is not None:
            self.runs.insert(0, self.done)
        steps.end()

    def _are_dropped(self, leaves: list[int]) -> bool:
        """Whether the program refers to none of the tensors that stand for some leaves, nor to
        their memory."""
        steps, runs = self.trace.steps, self._known_runs()
        for k in leaves:
            t = steps.bound[k]
            tensors = chain(steps.bound, *(trace.steps.last for trace in self.recent
                                           if trace.steps is not None),
                            *(run.slots for run in runs))
            storage = t.storage
            storages = chain(*(trace.storages for trace in self.recent),
                             *(run.storages.values() for run in runs))
            # besides: the name here, getrefcount's argument; the tensor refers to its storage
            if sys.getrefcount(t) > sum(x is t for x in tensors) + 2 \
                    or sys.getrefcount(storage) > sum(x is storage for x in storages) + 3:
                return False
        return True

    def _count_all_writes(self) -> None:
        for trace in self.recent:
            trace.count_writes()

    def _give_up(self, plan, why: str) -> bool:
        plan.user = None
        execute.outstanding = True
        return self._refuse(why)

    def _rebind(self, binding: Binding) -> None:
        plan = binding.plan
        plan.user = binding
        plan.unshare()
        for position, first in binding.repeated:
            plan.share_number(position, first)
        self.trace.release()
        for position, array in binding.fixed:
            if array.shape == () and type(plan.slots[position]) is not int:
                plan.set_number(position, array)
            else:
                plan.bind(position, array)

    # --- earlier runs -----------------------------------------------------------------------------

    def _keep_runs(self, most: int) -> None:
        """Of the runs with a history keep the last ones that backward may still come to; who holds
        results of the others gets them."""
        keep = [run for run in self.runs if run.is_wanted()][:most]
        for run in self.runs:
            if run not in keep and not run.recorded:
                run.let_go()
        self.runs = keep

    def _forget_walked(self) -> None:
        """A recording begins: what backward has walked before is no part of it."""
        for run in self.runs:
            if True in run.walked() and not run.recorded:
                run.let_go()
        self.runs = [run for run in self.runs if True not in run.walked()]

    def _release_done(self, plan) -> None:
        """Before the plan's buffers are written again: who still holds some gets them."""
        done, self.done = self.done, None
        if self.runs:
            self._keep_runs(MAX_LIVE)
        if done is not None and not done.live and not counts.below(done.slots, 2):
            if done.binding.plan is plan:
                done.let_go()
            elif done.held():
                self.left.insert(0, done)
        if self.left:
            for run in self.left:
                if run.binding.plan is plan:
                    run.let_go()
            for run in self.left[MAX_LIVE:]:
                run.let_go()
            self.left = [run for run in self.left[:MAX_LIVE]
                         if run.binding.plan is not plan and run.held()]

"""Nodes that belong to another one: table, report and maps to a segmentation, segmentations to a comparison.

The owner refers to them, and they go when it goes. They lie beside it in the subject hierarchy, not below it: what lies
below a segmentation is taken for segments there, and can be neither exported nor moved.
"""

from __future__ import annotations

import slicer
import vtk

#: Node references to what belongs to a node.
TABLE_ROLE, TEXT_ROLE, VOLUME_ROLE = "LCKD.volumes", "LCKD.report", "LCKD.map"
COMPARED_ROLE = "LCKD.compared"
ROLES = (TABLE_ROLE, TEXT_ROLE, VOLUME_ROLE, COMPARED_ROLE)
#: Scenes that are followed already, by address.
_followed: set[str] = set()


def own(owner: slicer.vtkMRMLNode, node: slicer.vtkMRMLNode, role: str) -> None:
    """Let a node belong to another one; again is harmless."""
    followRemoval(owner.GetScene())
    if node not in ownedNodes(owner, role):
        owner.AddNodeReferenceID(role, node.GetID())


def ownedNodes(owner: slicer.vtkMRMLNode, role: str) -> list[slicer.vtkMRMLNode]:
    """Return what belongs to a node and is still in the scene."""
    nodes = [owner.GetNthNodeReference(role, index) for index in range(owner.GetNumberOfNodeReferences(role))]
    return [node for node in nodes if node is not None and node.GetScene() is not None]


def removeOwned(owner: slicer.vtkMRMLNode, roles: tuple[str, ...] = ROLES) -> None:
    """Remove what belongs to a node from its scene."""
    scene = owner.GetScene()
    for role in roles:
        for node in ownedNodes(owner, role):
            scene.RemoveNode(node)
        owner.RemoveNodeReferenceIDs(role)


def followRemoval(scene: slicer.vtkMRMLScene) -> None:
    """From now on, what belongs to a node goes when the node goes, in whatever way; again is harmless."""
    address = scene.GetAddressAsString("")
    if address in _followed:
        return
    _followed.add(address)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def remove(scene: slicer.vtkMRMLScene, _event: int, node: slicer.vtkMRMLNode) -> None:
        if not scene.IsClosing() and any(node.GetNumberOfNodeReferences(role) for role in ROLES):
            removeOwned(node)

    scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, remove)
    scene.AddObserver(vtk.vtkCommand.DeleteEvent, lambda *_arguments: _followed.discard(address))
